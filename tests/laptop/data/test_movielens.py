"""MovieLens-100k as tables: each rating once, at its time, liked from 4 stars on."""

import datetime as dt

import pyarrow.parquet as pq
import pytest

from laptop.data import movielens
from nightshift.errors import DataError


@pytest.fixture
def folder(tmp_path):
    files = {
        "ml-100k.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
        "2\t10\t4\t881250950\n1\t10\t3\t881250949\n1\t20\t5\t881250949\n",
        "ml-100k.user": "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
        "1\t24\tM\ttechnician\t85711\n2\t53\tF\tother\tT8H1N\n",
        "ml-100k.item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        "10\tToy Story\t1995\tAnimation Comedy\n20\tunknown\t\t\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def tables(folder, to):
    to.mkdir()
    movielens.write_tables(folder, to)
    return {path.stem: pq.read_table(path).to_pylist() for path in to.glob("*.parquet")}


def test_each_rating_is_a_request_a_label_and_an_event(folder, tmp_path):
    made = tables(folder, tmp_path / "out")
    at = dt.datetime(1997, 12, 4, 15, 55, 49)
    assert made["impression"][0] == {
        "rating_id": "1-10", "user_id": "1", "item_id": "10", "at": at,
    }  # fmt: skip
    assert [row["rating_id"] for row in made["rating"]] == ["1-10", "1-20", "2-10"]
    assert [row["stars"] for row in made["rating"]] == [3, 5, 4]
    assert [row["liked"] for row in made["history"]] == [0, 1, 1]


def test_people_and_films_keep_what_is_known_of_them(folder, tmp_path):
    made = tables(folder, tmp_path / "out")
    assert made["viewer"][1]["zip_code"] == "T8H1N"
    assert made["film"] == [
        {"item_id": "10", "title": "Toy Story", "release_year": 1995, "genres": "Animation Comedy"},
        {"item_id": "20", "title": "unknown", "release_year": None, "genres": None},
    ]


def test_another_file_of_that_name_is_refused(folder, tmp_path):
    (folder / "ml-100k.inter").write_text("userId,movieId,rating,timestamp\n1,10,4,1\n")
    with pytest.raises(DataError, match=r"ml-100k.inter is not of MovieLens-100k"):
        tables(folder, tmp_path / "out")


def test_a_rating_of_nobody_is_refused(folder, tmp_path):
    with (folder / "ml-100k.inter").open("a") as file:
        file.write("9\t10\t4\t881250950\n")
    with pytest.raises(DataError, match="unknown user or film"):
        tables(folder, tmp_path / "out")
