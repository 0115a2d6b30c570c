"""Partitions of one source, each whole or absent."""

import datetime as dt

import pytest

from laptop.data import partitions
from laptop.data.schemas import EVENT_TABLES, SCHEMAS
from nightshift.errors import ConfigurationError

DAY = dt.date(2026, 1, 1)
GENERATED = {"kind": "generated", "seed": 1, "rows_per_day": 800}
FOLDER = {"kind": "folder", "folder": "/data/jd"}


def empty(table):
    return SCHEMAS[table].empty_table()


def test_a_folder_remembers_its_source_and_refuses_another(tmp_path):
    partitions.claim(tmp_path, GENERATED, replace=False)
    partitions.write_partition(tmp_path, EVENT_TABLES[0], DAY, empty(EVENT_TABLES[0]))
    partitions.claim(tmp_path, GENERATED, replace=False)
    assert partitions.source_of(tmp_path) == GENERATED
    with pytest.raises(
        ConfigurationError, match=r"generated tables \(seed 1.*laid out from /data/jd.*--replace"
    ):
        partitions.claim(tmp_path, FOLDER, replace=False)
    assert partitions.source_of(tmp_path) == GENERATED
    assert (tmp_path / EVENT_TABLES[0]).exists()


def test_tables_of_unknown_origin_are_not_mixed_either(tmp_path):
    partitions.write_partition(tmp_path, EVENT_TABLES[0], DAY, empty(EVENT_TABLES[0]))
    with pytest.raises(ConfigurationError, match="unknown origin"):
        partitions.claim(tmp_path, FOLDER, replace=False)


def test_replacing_takes_the_tables_and_nothing_else(tmp_path):
    partitions.claim(tmp_path, GENERATED, replace=False)
    partitions.write_partition(tmp_path, EVENT_TABLES[0], DAY, empty(EVENT_TABLES[0]))
    other = tmp_path / "notes"
    other.mkdir()
    partitions.claim(tmp_path, FOLDER, replace=True)
    assert partitions.source_of(tmp_path) == FOLDER
    assert not (tmp_path / EVENT_TABLES[0]).exists()
    assert other.is_dir()


def test_a_day_is_present_where_every_event_table_has_it(tmp_path):
    assert partitions.days_present(tmp_path) == []
    for number, table in enumerate(EVENT_TABLES):
        for day in range(1 + (number == 0)):
            partitions.write_partition(tmp_path, table, DAY + dt.timedelta(days=day), empty(table))
    assert partitions.days_present(tmp_path) == [DAY]
    (tmp_path / EVENT_TABLES[-1] / f"ds={DAY}" / "part-0.parquet").unlink()
    assert partitions.days_present(tmp_path) == []
