from openmldb_compiler.parameters import bound
from openmldb_sql.types import SqlType

T = SqlType


def test_values_stand_where_parameters_stood():
    sql = "SELECT '?' AS q FROM t WHERE a = ? AND b > ?"
    assert (
        bound(sql, [T.STRING, T.INT64]) == "SELECT '?' AS q FROM t WHERE a = '1' AND b > bigint(1)"
    )


def test_what_has_no_type_stays():
    assert bound("SELECT ? FROM t", [T.NULL]) == "SELECT ? FROM t"
    assert bound("SELECT ?, ? FROM t", [T.INT32]) == "SELECT 1, ? FROM t"
