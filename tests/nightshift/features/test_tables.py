"""The declaration of the source tables: what it may say, and what each mistake is told."""

import pytest

from nightshift.errors import ConfigurationError
from nightshift.features.tables import SourceTables
from nightshift.pipeline import Pipeline
from nightshift.settings import Settings

CONTENT = {
    "version": 1,
    "events": {"visits": "at", "clicks": "at"},
    "snapshots": ["people"],
    "requests": {"table": "visits", "id": "visit"},
    "label": "clicks",
}


def parse(**changes):
    content = {**CONTENT, **changes}
    content = {key: value for key, value in content.items() if value is not None}
    return SourceTables.parse(content, source="tables.yaml")


def test_jds_tables():
    tables = Pipeline.load(Settings()).features.tables
    assert tables.events == {
        "flattenRequest": "eventTime",
        "action": "eventTime",
        "bo_action": "ingestionTime",
        "bo_comment": "ingestionTime",
    }
    assert tables.snapshots == ("bo_user", "bo_product")
    assert (tables.request_table, tables.request_id) == ("flattenRequest", "reqId")
    assert (tables.request_time, tables.label_table) == ("eventTime", "action")


def test_a_label_may_say_what_a_missing_row_means_and_how_long_it_needs():
    tables = parse(label={"table": "clicks", "absent": 0, "settles": {"days": 2}})
    assert (tables.label_table, tables.label_absent, tables.label_settle_days) == ("clicks", 0, 2)
    tables = parse(label={"table": "clicks"})
    assert (tables.label_table, tables.label_absent, tables.label_settle_days) == (
        "clicks", None, None,
    )  # fmt: skip


def test_a_labels_table_may_be_taken_out_of_anothers_files_and_columns_have_meanings():
    tables = parse(label={"table": "clicks", "from": "visits"}, **{"as": {"visits.at": "ms"}})
    assert (tables.label_from, tables.meanings) == ("visits", {"visits.at": "ms"})
    tables = parse()
    assert (tables.label_from, tables.meanings) == (None, {})
    with pytest.raises(ConfigurationError, match=r"label\.from is 'a b'"):
        parse(label={"table": "clicks", "from": "a b"})
    for wrong in (["visits.at"], {"visits.at": 1}):
        with pytest.raises(ConfigurationError, match=r"tables.yaml: as"):
            parse(**{"as": wrong})


def test_label_and_snapshots_may_be_left_out():
    tables = parse(label=None, snapshots=None)
    assert tables.label_table is None
    assert tables.names == ("visits", "clicks")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"event": {}}, "unknown key 'event'; did you mean 'events'?"),
        ({"version": 2}, "version is 2; this Nightshift reads version 1"),
        ({"events": None}, "events is missing; give each event table and its time column"),
        ({"events": {"visits": 3}}, "events.visits is 3; give a name"),
        ({"events": {"vi sits": "at"}}, "events is 'vi sits'; give a name"),
        ({"snapshots": "people"}, "snapshots is 'people'; give a list"),
        ({"snapshots": ["clicks"]}, "snapshots is 'clicks'; the table is given twice"),
        ({"snapshots": ["people", "people"]}, "the table is given twice"),
        ({"requests": None}, "requests is missing; give {table: ..., id: ...}"),
        ({"requests": {"table": "visits"}}, "requests.id is missing"),
        ({"requests": {"table": "visits", "idd": "x"}}, "unknown key 'requests.idd'"),
        ({"requests": {"table": "visit", "id": "x"}}, "did you mean 'visits'?"),
        ({"requests": {"table": "people", "id": "x"}}, "requests.table is 'people', which is not"),
        ({"label": "click"}, "label is 'click', which is not declared here: visits, clicks"),
        ({"label": {"absent": 0}}, "label.table is missing"),
        ({"label": {"table": "click"}}, "label is 'click', which is not declared here"),
        ({"label": {"table": "clicks", "absent": 2}}, "label.absent is 2; give 0 or 1"),
        ({"label": {"table": "clicks", "absent": False}}, "label.absent is False; give 0 or 1"),
        ({"label": {"table": "clicks", "settles": 3}}, "label.settles is 3; give {days: ...}"),
        ({"label": {"table": "clicks", "settles": {"days": -1}}}, "label.settles.days is -1"),
        ({"label": {"table": "clicks", "delay": 3}}, "label.delay is 3; give {days"),
        ({"label": {"table": "clicks", "delay": {"hours": 0}}}, "label.delay.hours is 0"),
        ({"label": {"table": "clicks", "delay": {"hour": 1}}}, "unknown key 'label.delay.hour'"),
        ({"label": {"table": "clicks", "settle": 1}}, "unknown key 'label.settle'"),
        ({"label": "visits"}, "label is 'visits'; requests have features, too"),
    ],
)
def test_a_mistake_is_told_with_file_key_and_mend(changes, told):
    with pytest.raises(ConfigurationError) as caught:
        parse(**changes)
    assert str(caught.value).startswith("tables.yaml: ")
    assert told in str(caught.value)


CREATED = {"visits": ["visit", "at"], "clicks": ["visit", "at"], "people": ["name"]}


@pytest.mark.parametrize(
    ("created", "told"),
    [
        ({"people": None, "peoples": ["name"]},
         "declares table people, which x.sql does not create; did you mean 'peoples'?"),
        ({"other": ["a"]}, "x.sql: creates table other, which tables.yaml does not declare"),
        ({"clicks": ["visit", "att"]},
         "events.clicks is at, which is not a column of clicks in x.sql; did you mean 'att'?"),
        ({"visits": ["id", "at"]}, "requests.id is visit, which is not a column of visits"),
    ],
)  # fmt: skip
def test_the_script_makes_these_tables(created, told):
    made = {name: columns for name, columns in {**CREATED, **created}.items() if columns}
    with pytest.raises(ConfigurationError) as caught:
        parse().check_created(made, "x.sql")
    assert told in str(caught.value)


def test_a_script_that_fits_is_let_through():
    parse().check_created(CREATED, "x.sql")
