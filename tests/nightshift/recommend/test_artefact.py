"""The folder of a release's retrieval: what is written is read, what was changed is refused."""

import pyarrow as pa
import pytest

from nightshift import files
from nightshift.errors import ContractError
from nightshift.recommend import artefact


def test_tables_come_back_as_they_were(tmp_path):
    users = pa.array(["ann", "Ülker", "北京"])
    items = pa.table({"id": pa.array([1, 5, 2**40]), "title": pa.array(["a", None, ""])})
    artefact.write_tables(tmp_path, users, items)
    assert artefact.read_table(tmp_path, "users")["id"].to_pylist() == users.to_pylist()
    assert artefact.read_table(tmp_path, "items").equals(items)


def test_a_card_of_another_version_is_refused(tmp_path):
    files.write_json(tmp_path / "recommend.json", {"version": artefact.VERSION, "users": 3})
    assert artefact.read_card(tmp_path)["users"] == 3
    for other in ({"version": artefact.VERSION + 1}, {}, []):
        files.write_json(tmp_path / "recommend.json", other)
        with pytest.raises(ContractError, match="another version"):
            artefact.read_card(tmp_path)


def test_a_folder_is_the_one_of_its_digest_or_refused(tmp_path):
    folder = tmp_path / "recommend"
    with pytest.raises(ContractError, match="is not there"):
        artefact.check(folder, "0" * 64)
    folder.mkdir()
    (folder / "liked_values.npy").write_bytes(b"123")
    digest = files.sha256_tree(folder)
    artefact.check(folder, digest)
    (folder / "liked_values.npy").write_bytes(b"124")
    with pytest.raises(ContractError, match="was changed"):
        artefact.check(folder, digest)
    (folder / "liked_values.npy").write_bytes(b"123")
    (folder / "more.npy").write_bytes(b"")
    with pytest.raises(ContractError, match="was changed"):
        artefact.check(folder, digest)
