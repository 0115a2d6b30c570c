"""A small pipeline with windows, joins and a snapshot, for tests and benches of live traffic."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

QUERY = """SELECT * FROM
(SELECT id AS visit_id, `at` AS visit_time, count(page) OVER own AS visits FROM visit
 WINDOW own AS (PARTITION BY who ORDER BY `at` ROWS_RANGE BETWEEN 1d PRECEDING AND 0s PRECEDING)
) AS r
LAST JOIN
(SELECT visit.id AS label_id, bought.n AS bought, person.city AS city FROM visit
 LAST JOIN bought ON visit.id = bought.id LAST JOIN person ON visit.who = person.who
) AS p ON r.visit_id = p.label_id
LAST JOIN
(SELECT id AS click_id, count(page) OVER clicked AS clicks
 FROM (SELECT id, `at`, who, '' AS page FROM visit)
 WINDOW clicked AS (UNION (SELECT '' AS id, `at`, who, page FROM click) PARTITION BY who ORDER BY `at`
   ROWS_RANGE BETWEEN 1d PRECEDING AND 0s PRECEDING INSTANCE_NOT_IN_WINDOW)
) AS k ON r.visit_id = k.click_id
LAST JOIN
(SELECT id AS comment_id, count(page) OVER said AS comments
 FROM (SELECT id, `at`, page FROM visit)
 WINDOW said AS (UNION (SELECT '' AS id, `at`, page FROM comment) PARTITION BY page ORDER BY `at`
   ROWS_RANGE BETWEEN 1d PRECEDING AND 0s PRECEDING INSTANCE_NOT_IN_WINDOW)
) AS m ON r.visit_id = m.comment_id
"""

FILES = {
    "pipeline.yaml": "version: 1\ndatabase: {database}\ngates_run: []\n",
    "tables.yaml": "version: 1\nevents: {visit: at, click: at, comment: at, bought: at}\n"
    "snapshots: [person]\nrequests: {table: visit, id: id}\nlabel: {table: bought, absent: 0}\n",
    "create_tables.sql": "CREATE TABLE visit(id string, at timestamp, who string, page string, "
    "INDEX(key=who, ts=at));"
    "CREATE TABLE click(who string, at timestamp, page string, INDEX(key=who, ts=at));"
    "CREATE TABLE comment(page string, at timestamp, INDEX(key=page, ts=at));"
    "CREATE TABLE bought(id string, at timestamp, n int, INDEX(key=id, ts=at));"
    "CREATE TABLE person(who string, at timestamp, city string, "
    "INDEX(key=who, ts=at, ttl=1, ttl_type=latest));",
    "features.sql": QUERY,
    "feature_spec.yaml": "version: 1\nlabel: bought\ntime: visit_time\ntest_days: 1\nvalid_days: 1\n"
    "keys: [visit_id, visit_time, label_id, click_id, comment_id]\n"
    "lookback_days: {visit: 1, click: 1, comment: 1, bought: 0}\n"
    "categorical: {city: string}\n"
    "numeric: {visits: {type: int64, decimals: 0}, clicks: {type: int64, decimals: 0}, "
    "comments: {type: int64, decimals: 0}}\n",
}


def pipelines(root: Path, database: str, files: Mapping[str, str] = FILES) -> Path:
    """A folder of pipelines with one, `shop`.

    Args:
        root: gets the folder.
        database: of the pipeline.
        files: its files by name; `{database}` stands for the database's name.
    """
    folder = root / "pipelines"
    (folder / "shop").mkdir(parents=True)
    for name, text in files.items():
        (folder / "shop" / name).write_text(text.replace("{database}", database))
    return folder
