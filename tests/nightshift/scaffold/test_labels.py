"""How long labels take, read from files of requests and labels."""

import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift.scaffold import labels, survey
from nightshift.scaffold.roles import decide

BEGIN = dt.datetime(2026, 1, 1, 9)
DAYS, A_DAY = 120, 12


@pytest.fixture
def asked(tmp_path):
    """A folder of sent letters, and a function that adds the answers by their delay in days."""
    at = [BEGIN + dt.timedelta(days=n // A_DAY, minutes=n % A_DAY) for n in range(DAYS * A_DAY)]
    letters = {
        "letter": pa.array(range(len(at)), pa.int64()),
        "sent": pa.array(at, pa.timestamp("ms")),
        "person": [f"p{n % 50}" for n in range(len(at))],
    }
    put(tmp_path, "letters", letters)

    def answer(delay, *, every=3):
        ids = range(0, len(at), every)
        put(tmp_path, "answers", {
            "letter": pa.array(ids, pa.int64()),
            "came": pa.array([at[n] + dt.timedelta(days=delay(n)) for n in ids],
                             pa.timestamp("ms")),
        })  # fmt: skip
        return tmp_path, decide(survey.survey(tmp_path), requests="letters", labels="answers")

    return answer


def put(root, table, columns):
    (root / table).mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), root / table / "part.parquet")


@pytest.mark.parametrize(
    ("delay", "days"),
    [
        (lambda n: 0.001, 0),  # minutes later: the day's own labels are nearly all there
        (lambda n: 0.6, 1),
        (lambda n: 2.0, 2),
        (lambda n: n % 20, 19),
        (lambda n: 300.0, 39),  # no more than a third of the days there are
        (lambda n: -1.0, 0),  # a label before its request tells nothing
    ],
)
def test_a_label_settles_when_most_have_come(asked, delay, days):
    folder, roles = asked(delay)
    # By a time of the labels alone the answer would follow from where the files end.
    assert labels.settle_days(folder, roles) == days


def test_rows_of_labels_are_positives_where_no_column_says_otherwise(asked):
    _, roles = asked(lambda n: 1.0, every=4)
    assert labels.positives(roles) == DAYS * A_DAY / 4


def test_positives_are_counted_in_the_labels_column(tmp_path, asked):
    asked(lambda n: 1.0)
    put(tmp_path, "answers", {
        "letter": pa.array(range(900), pa.int64()), "answered": [n % 9 == 0 for n in range(900)],
    })  # fmt: skip
    roles = decide(survey.survey(tmp_path), requests="letters", labels="answers")
    assert roles.label == "answered"
    assert labels.positives(roles) == 100
    assert labels.settle_days(tmp_path, roles) == 0
