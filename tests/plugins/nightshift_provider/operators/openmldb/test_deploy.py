"""DEPLOY through Airflow's task runner, against a real server."""

from __future__ import annotations

from nightshift_provider.operators.openmldb import OpenMLDBDeployOperator
from openmldb_sql import statements


class TestDeploy:
    SELECT = "SELECT k, v + 1 AS w FROM t"

    def body(self, db, select):
        return (
            f"OpenMLDBDeployOperator(task_id='x', name='d1', select={select!r}, "
            f"database={db!r}, retries=3)"
        )

    def test_the_same_query_again_is_a_success(self, airflow, api, db):
        run = airflow.run(self.body(db, f"-- comment\n{self.SELECT};"))
        assert run.try_task("x") == "success"
        assert run.xcom("x") == {"name": "d1", "created": True}
        run.clear("x")
        assert run.try_task("x") == "success"
        assert run.xcom("x") == {"name": "d1", "created": False}
        rows, schema = api.call(db, "d1", [["a", 41, 0]])
        assert rows == [["a", 42]]
        assert [name for name, _ in schema] == ["k", "w"]

    def test_a_query_that_the_server_prints_in_another_way_is_found_again(self, airflow, api, db):
        select = (
            "SELECT `k`, CASE WHEN !isnull(v) THEN sum(`v`) OVER last_10 ELSE -1 END AS s, "
            "'a b' AS c FROM t WINDOW last_10 AS "
            "(PARTITION BY k ORDER BY `ts` ROWS BETWEEN 10 PRECEDING AND CURRENT ROW)"
        )
        run = airflow.run(self.body(db, select))
        assert run.try_task("x") == "success"
        run.clear("x")
        assert run.try_task("x") == "success"
        assert run.xcom("x") == {"name": "d1", "created": False}
        other = airflow.run(self.body(db, select.replace("10 PRECEDING", "11 PRECEDING")))
        assert other.try_task("x") == "failed"

    def test_another_query_under_the_name_is_an_error(self, airflow, api, db, capfd):
        assert airflow.run(self.body(db, self.SELECT)).try_task("x") == "success"
        other = airflow.run(self.body(db, "SELECT k, v + 2 AS w FROM t"))
        assert other.try_task("x") == "failed"
        assert "exists with another query" in capfd.readouterr().out
        assert api.call(db, "d1", [["a", 41, 0]])[0] == [["a", 42]]


def test_an_option_of_ones_own_replaces_the_usual_one(airflow_home):
    made = OpenMLDBDeployOperator(
        task_id="x", name="d1", select="SELECT k FROM t;", database="jd", options={"rows_bias": 7}
    )
    (sql,) = made.statements()
    found = statements.parse(sql)
    assert (found.name, found.sql) == ("d1", "SELECT k FROM t")
    assert found.options["rows_bias"] == 7
