"""The JD tutorial over HTTP, from CREATE TABLE to a deployment's request, on the real tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from testing.embedded import ServerProcess

SHARED = Path(__file__).resolve().parents[4] / "shared"
SEED = SHARED / "seeds" / "000_05db04eb1d7616d6.txt"
DATA = SHARED / "data" / "jd"
TABLES = {
    "action": "action",
    "flattenRequest": "flattenRequest_clean",
    "bo_user": "bo_user",
    "bo_action": "bo_action",
    "bo_product": "bo_product",
    "bo_comment": "bo_comment",
}
ID = "200080_5505_2016-03-15 20:43:04"
EMPTY = ",NULL,NULL"
# Section 3.5 of the tutorial, in English and in Chinese: what its predict script prints.
# fmt: off
PRINTED = [
    ID, 1458045784000, ID, "200080_5505", "5505", "200080", 1, 1.0, 1.0, 1, 1, 3, 1, ID, None,
    "3", "1", "1", "214", "8", 1603438960564, None, None, None, None, ID,
    0.02879999950528145, 0.0, 0.0, 2, 2, "1,,NULL", "4,0,NULL",
    ID, EMPTY, EMPTY, EMPTY, 1, 1, 1, EMPTY, EMPTY,
]
OTHER = "200001_80005_2016-03-31 18:11:20"
PRINTED_CHINESE = [
    OTHER, 1459419080000, OTHER, "200001_80005", "80005", "200001", 1, 1.0, 1.0, 1, 1, 5, 1,
    OTHER, None, None, None, None, None, None, None, None, None, None, None, OTHER,
    0.019200000911951065, 0.0, 0.0, 2, 2, "1,,NULL", "4,0,NULL",
    OTHER, EMPTY, EMPTY, EMPTY, 1, 1, 1, EMPTY, EMPTY,
]
# fmt: on
ROWS = 13_916


def tutorial_statements() -> tuple[list[str], str]:
    """The CREATE TABLEs and the feature query, as the tutorial prints them."""
    text = SEED.read_text(encoding="utf-8")
    creates = re.findall(r"^> (CREATE TABLE .*?;)$", text, re.MULTILINE)
    found = re.search(r"^> (select \* from\n.*?)^INTO OUTFILE", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return creates, found.group(1).strip()


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    if not SEED.exists() or not DATA.is_dir():
        pytest.skip(f"the tutorial and its data are not below {SHARED}")
    folder = tmp_path_factory.mktemp("tutorial")
    roots = ("--root", str(SHARED), "--root", str(folder))
    # The tutorial's query is of a version whose functions had the prefix fz_.
    server = ServerProcess(folder / "data", "--lenient", *roots).start()
    creates, _ = tutorial_statements()
    assert len(creates) == 6
    server.do("CREATE DATABASE JD_db", db="JD_db", mode="online")
    for create in creates:
        server.do(create, db="JD_db", mode="online")
    yield server
    assert server.end() == 0


@pytest.mark.slow
def test_offline_features(tutorial: ServerProcess) -> None:
    _, features = tutorial_statements()
    for table, folder in TABLES.items():
        row = tutorial.do(
            f"LOAD DATA INFILE '{DATA}/{folder}/*.parquet' INTO TABLE {table} "
            f"options(format='parquet', header=true, mode='overwrite')",
            db="JD_db",
            mode="offsync",
        )[0]
        assert row[2] == "FINISHED", row
    out = tutorial.data.parent / "out" / "1"
    row = tutorial.do(
        f"{features} INTO OUTFILE '{out}' OPTIONS(mode='overwrite', format='parquet')",
        db="JD_db",
        mode="offsync",
    )[0]
    assert row[2] == "FINISHED", row
    table = pq.read_table(out)
    assert table.num_rows == ROWS
    assert len(set(table.column("reqId_1").to_pylist())) == ROWS
    assert sum(v == 1 for v in table.column("action_actionValue_multi_direct_2").to_pylist()) == 186


def test_online_features(tutorial: ServerProcess) -> None:
    _, features = tutorial_statements()
    tutorial.do(f"DEPLOY demo OPTIONS(RANGE_BIAS='inf', ROWS_BIAS='inf') {features}", db="JD_db")
    for table, folder in TABLES.items():
        row = tutorial.do(
            f"LOAD DATA INFILE '{DATA}/{folder}/*.parquet' INTO TABLE {table} "
            f"options(format='parquet', mode='append')",
            db="JD_db",
        )[0]
        assert row[1:3] == ["ImportOnlineData", "FINISHED"], row
    assert tutorial.do("SHOW DEPLOYMENTS", db="JD_db") == [["JD_db", "demo"]]
    again = tutorial.ask(f"DEPLOY demo {features}", db="JD_db")
    assert again["msg"] == (
        "ns create procedure failed--ReturnCode[-1]--store procedure already exists"
    )
    assert tutorial.ask("DROP TABLE bo_action", db="JD_db")["code"] != 0
    request = {
        "reqId": ID,
        "eventTime": 1458045784000,
        "main_id": "681271",
        "pair_id": "200080_5505",
        "user_id": "200080",
        "sku_id": "5505",
        "time": 1458045784000,
        "split_id": 1,
        "time1": "2016-03-15 20:43:04",
    }
    path = "/dbs/JD_db/deployments/demo"
    found = tutorial.post(path, {"input": [request], "need_schema": True})
    assert found["code"] == 0, found
    named = found["data"]["data"][0]
    assert list(named) == [column["name"] for column in found["data"]["schema"]]
    assert named["reqId_1"] == request["reqId"]
    assert list(named.values()) == PRINTED
    row = [OTHER, 1459419080000, "", "200001_80005", "200001", "80005", 0, 1, ""]
    assert tutorial.post(path, {"input": [row]})["data"]["data"] == [PRINTED_CHINESE]
    plain = tutorial.post(path, {"input": [list(request.values())] * 3})
    assert plain["data"]["data"] == [list(named.values())] * 3
    assert "schema" not in plain["data"]
    info = tutorial.client.get(path).json()["data"]
    assert info["name"] == "demo"
    assert [c["name"] for c in info["input_schema"]] == list(request)
    assert info["output_schema"] == found["data"]["schema"]
    shown = tutorial.do("SHOW DEPLOYMENT demo", db="JD_db")[0][0]
    assert "# Input Schema" in shown
    row_0 = "Translate to request row failed in map row 0, INVALID_ARGUMENT:"
    missing = tutorial.post(path, {"input": [{"reqId": "x"}]})
    assert missing == {"code": -1, "msg": f"{row_0} can't find col main_id"}
    short = tutorial.post(path, {"input": [["x"]]})
    assert short == {"code": -1, "msg": "Invalid input data size in row 0"}
    for name, value in (("eventTime", 1.5), ("eventTime", "2016"), ("split_id", 2**40)):
        wrong = tutorial.post(path, {"input": [{**request, name: value}]})
        assert wrong["code"] == -1
        assert name in wrong["msg"]
    unknown = tutorial.post("/dbs/JD_db/deployments/none", {"input": [[1]]})
    assert unknown == {"code": -1, "msg": "none does not exist in JD_db"}
    tutorial.do("TRUNCATE TABLE bo_product", db="JD_db")
    emptied = tutorial.post(path, {"input": [request]})["data"]["data"][0]
    assert emptied["bo_product_br_multi_direct_6"] is None
    tutorial.do("DROP DEPLOYMENT demo", db="JD_db")
    assert tutorial.post(path, {"input": [request]})["code"] == -1
    tutorial.do("DROP TABLE bo_action", db="JD_db")
