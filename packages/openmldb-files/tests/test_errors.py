"""What a message about a file names."""

from pathlib import Path

from openmldb_files import FileError


def test_a_message_names_file_column_reason_and_hint():
    error = FileError("/data/x.csv", "it is empty", column="user", hint="write it again")
    assert str(error) == "/data/x.csv, column user: it is empty; write it again"
    assert (error.path, error.column) == (Path("/data/x.csv"), "user")
    assert isinstance(error, ValueError)


def test_a_message_about_a_whole_file_names_no_column():
    assert str(FileError(Path("/data/x.csv"), "it is empty")) == "/data/x.csv: it is empty"
