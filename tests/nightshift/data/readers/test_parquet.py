"""Parquet files as `data load` reads them."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from openmldb_files import FileError

from nightshift.data.readers import SUFFIXES, TextForm, parquet, reader_of


def test_the_columns_asked_for_come_in_the_files_order(tmp_path):
    path = tmp_path / "part-0.parquet"
    pq.write_table(pa.table({"a": [1], "b": ["x"], "c": [2.5]}), path)
    assert parquet.names(path, TextForm()) == ["a", "b", "c"]
    (batch,) = parquet.batches(path, ["c", "a", "missing"], TextForm())
    assert batch.to_pydict() == {"a": [1], "c": [2.5]}


def test_what_is_no_parquet_is_named(tmp_path):
    path = tmp_path / "part-0.parquet"
    path.write_text("a,b\n")
    with pytest.raises(FileError, match="part-0.parquet"):
        parquet.names(path, TextForm())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_ending_has_a_reader_with_both_functions(suffix):
    reader = reader_of(Path(f"table{suffix}"))
    assert callable(reader.names)
    assert callable(reader.batches)
