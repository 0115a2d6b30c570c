"""CSV as `data load` reads it."""

import pytest
from openmldb_files import FileError

from nightshift.data.readers import TextForm, delimited, reader_of


def test_cells_are_text_and_the_form_is_the_callers(tmp_path):
    path = tmp_path / "visit.csv"
    path.write_bytes("id;né\n007;\n".encode("latin-1"))
    form = TextForm(";", "latin-1")
    assert reader_of(path) is delimited
    assert delimited.names(path, form) == ["id", "né"]
    (batch,) = delimited.batches(path, ["id"], form)
    assert batch.to_pydict() == {"id": ["007"], "né": [None]}
    with pytest.raises(FileError, match="visit.csv"):
        delimited.names(path, TextForm(";"))
