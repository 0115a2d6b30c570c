"""A list by SQL: what its query gave, and what it leads to."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift.errors import DataError
from nightshift.recommend import fitting, listed
from nightshift.recommend.recommender import Recommender
from testing.retrieval import LAST, LAST_MS, options


def exported(folder, **columns):
    folder.mkdir()
    pq.write_table(pa.table(columns), folder / "part-0.parquet")
    return folder


@pytest.fixture(scope="module")
def chosen(found, tmp_path_factory):
    """Rows for everybody and for u005, some of which nobody can use."""
    folder = exported(
        tmp_path_factory.mktemp("list") / "listed",
        user=[None, None, "u005", None, "nobody", "u005", None, None],
        item=["i40", "i41", "i07", "i99", "i01", "i40", "i40", "i42"],
        score=[1.0, 2.0, 5.0, 9.0, 9.0, 3.0, 0.5, None],
    )
    return listed.read(folder, found.users, found.items["id"].combine_chunks())


@pytest.fixture(scope="module")
def made(found, chosen, tmp_path_factory):
    folder = tmp_path_factory.mktemp("retrieval") / "recommend"
    card = fitting.build(
        found,
        options(retrievers=("sql_list",), sql_list="list.sql"),
        folder,
        last=LAST,
        last_ms=LAST_MS,
        test_days=3,
        request={"id": "reqId", "time": "eventTime"},
        listed=chosen[0],
    )
    return Recommender.load(folder), card


def test_rows_nobody_can_use_are_counted(chosen):
    assert chosen[1] == {"unknown_items": 1, "unknown_users": 1, "without_score": 1}


def test_everybody_gets_the_list_by_its_scores_and_popular_items_after_it(made):
    answer = made[0].retrieve("nobody", 10)
    assert answer.items[:2].tolist() == [41, 40]
    assert len(answer.items) == 10
    assert answer.found["sql_list"] == {41: 1, 40: 2}


def test_a_user_with_rows_of_its_own_gets_these_first(made):
    answer = made[0].retrieve("u005", 3, exclude_consumed=False)
    assert answer.items.tolist() == [7, 40, 41]


def test_filters_hold(made):
    answer = made[0].retrieve("nobody", 5, conditions={"taste": 1})
    assert answer.items[0] == 41
    assert 40 not in answer.items


def test_the_list_is_not_measured_on_days_that_it_may_know(made):
    assert set(made[1]["held_out"]["by_retriever"]) == {"popular"}
    assert made[1]["retrievers"]["sql_list"] == {"for_all": 2, "for_users": 2}


def test_a_list_for_all_needs_no_column_of_users(found, tmp_path):
    folder = exported(tmp_path / "x", item=["i03", "i02"], score=[1, 1])
    rows, _ = listed.read(folder, found.users, found.items["id"].combine_chunks())
    assert rows.row(len(found.users)).tolist() == [2, 3]
    assert rows.starts[-2] == 0


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"item": ["i01"]}, "has item and score"),
        ({"item": [1], "score": [1.0]}, "one type"),
        ({"item": ["i01"], "score": ["1"]}, "give a number"),
    ],
)
def test_a_list_that_does_not_fit_says_why(found, tmp_path, columns, told):
    folder = exported(tmp_path / "x", **columns)
    with pytest.raises(DataError, match=told):
        listed.read(folder, found.users, found.items["id"].combine_chunks())


def test_an_empty_list_is_a_list(found, tmp_path):
    folder = exported(
        tmp_path / "x", item=pa.array([], pa.string()), score=pa.array([], pa.float64())
    )
    rows, dropped = listed.read(folder, found.users, found.items["id"].combine_chunks())
    assert len(rows.values) == 0
    assert rows.rows == len(found.users) + 1
    assert not any(dropped.values())


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("SELECT item_id AS item, count(*) AS score FROM history GROUP BY item_id;", None),
        ("SELECT * FROM chosen", None),
        ("SELECT c.item, c.score FROM chosen AS c", None),
        ("SELECT item_id, 1 AS score FROM history", "no column 'item'"),
        ("SELECT item FROM chosen", "no column 'score'"),
        ("DELETE FROM chosen", "not a SELECT"),
    ],
)
def test_the_text_of_the_query(sql, told):
    found = listed.problem_of(sql)
    assert (found is None) if told is None else told in found
