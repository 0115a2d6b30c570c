"""Random SELECTs of the shapes that ``statements_at_random`` leaves out.

Names in backticks and in other cases, tables with their database, aliases, arrays, maps and
features, texts made of split lists, chains of joins, subqueries in subqueries, unions of computed
results, one window inheriting another, constants alone. Fewer mistakes per statement, so that more
of them get as far as types.
"""

from __future__ import annotations

from random import Random

from openmldb_sql.types import SqlType
from statements_at_random import COLUMNS, COMPARISON, OTHER, D, N, Statements, T, W

AROUND = [
    "{0} + 1",
    "{0} / id",
    "-({0})",
    "NOT {0}",
    "{0} > 1",
    "{0} IN (1, 2)",
    "{0} BETWEEN 1 AND 2",
    "{0} LIKE 'a%'",
    "ifnull({0}, 0)",
    "if_null({0}, b)",
    "isnull({0})",
    "round({0}, 2)",
    "log({0} + 1)",
    "concat({0})",
    "upper({0})",
    "CAST({0} AS string)",
    "CASE WHEN {0} > 1 THEN 'a' ELSE 'b' END",
    "CASE WHEN ok THEN {0} ELSE NULL END",
]
"""What an aggregate may stand in."""

FRAMED = (
    "SELECT id, a, avg(c) OVER w AS c, ts FROM t1 WINDOW w AS (PARTITION BY a ORDER BY ts "
    "ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)"
)
JOINED = "SELECT t1.id, t2.a, t2.c, t2.ts FROM t1 LAST JOIN t2 ORDER BY t2.ts ON t1.id = t2.id"


class WiderStatements(Statements):
    """Draws statements; see ``Statements``."""

    def __init__(self, random: Random, astray: float = 0.02) -> None:
        super().__init__(random, astray)

    # ------------------------------------------------------------ expressions

    def leaf(self, kind: SqlType, scope) -> str:
        text = super().leaf(kind, scope)
        if text in dict(scope):
            return self.spelled(text)
        if self.chance(0.03):
            return f"CAST(NULL AS {self.pick(['int', 'string', 'double', 'timestamp', 'bool'])})"
        return text

    def spelled(self, column: str) -> str:
        """A column, perhaps in backticks, rarely in capitals."""
        if self.chance(0.06):
            return ".".join(f"`{part}`" for part in column.split("."))
        return column.upper() if self.chance(0.01) else column

    def expr(self, kind: SqlType, scope, depth: int) -> str:
        if depth > 0 and self.chance(0.08):
            return self.composite(kind, scope, depth - 1)
        return super().expr(kind, scope, depth)

    def composite(self, kind: SqlType, scope, depth: int) -> str:
        """Something of an array, a map, a feature or a list of parts."""
        text = self.expr(T.STRING, scope, depth)
        choice = self.r.randrange(10)
        if choice == 0:
            return f"size({self.array(T.STRING, scope, depth)})"
        if choice == 1:
            item = self.expr(self.kind("any"), scope, 0)
            return f"array_contains({self.array(self.kind('any'), scope, depth)}, {item})"
        if choice == 2:
            return f"isin({text}, {self.array(T.STRING, scope, depth)})"
        if choice == 3:
            return f"array_join({self.array(T.STRING, scope, depth)}, {self.leaf(T.STRING, scope)})"
        if choice == 4:
            arrays = ", ".join(
                self.array(self.kind("any"), scope, depth) for _ in range(1 + self.r.randrange(2))
            )
            return f"array_join(array_combine('-', {arrays}), ',')"
        if choice == 5:
            key = self.kind("any")
            pairs = ", ".join(
                f"{self.expr(key, scope, 0)}, {self.expr(kind, scope, 0)}"
                for _ in range(1 + self.r.randrange(2))
            )
            made = f"map({pairs})"
            if self.chance(0.2):
                return f"size(map_keys({made}))"
            return f"{made}[{self.leaf(key, scope)}]"
        if choice in (6, 7):
            features = [self.feature(scope, depth) for _ in range(1 + self.r.randrange(3))]
            return f"{self.pick(['gcformat', 'csv', 'libsvm'])}({', '.join(features)})"
        cut = self.pick(["split({},',')", "split_by_key({},',',':')", "split_by_value({},',',':')"])
        parts = cut.format(text)
        if self.chance(0.3):
            names = ["list_except_by_key", "list_except_by_value"]
            parts = f"{self.pick(names)}({text}, {self.leaf(T.STRING, scope)})"
        return f"`join`({parts}, {self.leaf(T.STRING, scope)})"

    def array(self, kind: SqlType, scope, depth: int) -> str:
        if kind is T.STRING and self.chance(0.6):
            return f"split_array({self.expr(T.STRING, scope, depth)}, ',')"
        items = ", ".join(
            self.expr(kind if not self.chance(0.1) else self.kind("any"), scope, 0)
            for _ in range(1 + self.r.randrange(3))
        )
        if self.chance(0.2):
            items = ", ".join(self.leaf(kind, []) for _ in range(2))
        return f"{'ARRAY' if self.chance(0.2) else ''}[{items}]"

    def feature(self, scope, depth: int) -> str:
        name = self.pick(
            ["continuous", "discrete", "binary_label", "multiclass_label", "regression_label"]
        )
        kinds = {"continuous": N, "discrete": "any", "regression_label": N}
        inner = self.expr(self.kind(kinds.get(name, W)), scope, depth)
        if name == "discrete" and self.chance(0.5):
            inner += f", {self.pick(['100', '3', '0', '-1', '5000000000'])}"
        return f"{name}({inner})"

    def condition(self, scope, depth: int) -> str:
        choice = self.r.randrange(12)
        if choice == 0:
            text = self.expr(T.STRING, scope, depth - 1)
            no = "NOT " if self.chance(0.3) else ""
            escape = self.pick(["'!'", "'\\\\'", "''", "'ab'", "a" if scope else "'x'"])
            word = self.pick(["LIKE", "ILIKE"])
            pattern = self.pick(["'!%x_'", "'%'", "''", self.leaf(T.STRING, scope)])
            return f"{text} {no}{word} {pattern} ESCAPE {escape}"
        if choice == 1:
            a, b = self.kind("any"), self.kind("any")
            return f"{self.leaf(a, scope)} {self.pick(COMPARISON)} {self.leaf(b, scope)}"
        if choice == 2:
            kinds = [self.kind("any") for _ in range(2)]
            items = ", ".join(self.expr(k, scope, 0) for k in kinds)
            return f"{self.expr(kinds[0], scope, 1)} IN ({items})"
        if choice == 3:
            x, lo, hi = (self.expr(self.kind("any"), scope, 0) for _ in range(3))
            return f"{x} BETWEEN {lo} AND {hi}"
        if choice == 4:
            terms = [self.condition(scope, depth - 1) for _ in range(2)] if depth > 0 else ["ok"]
            return f"({self.pick([' AND ', ' OR ']).join(terms)})"
        return super().condition(scope, depth)

    # ------------------------------------------------------------ selects

    def select(self, depth: int = 2) -> str:
        shapes = [
            self.constants,
            self.one,
            self.one,
            self.one,
            self.over,
            self.over,
            self.over,
            self.named,
            self.chained,
            self.deep,
            self.united,
            self.having,
            self.inheriting,
            self.sources,
        ]
        if self.chance(0.15):
            return super().select(depth)
        return self.pick(shapes)(depth)

    def constants(self, depth: int) -> str:
        items = ", ".join(self.expr(self.kind("any"), [], depth) for _ in range(2))
        return f"SELECT {items} FROM t1"

    def one(self, depth: int) -> str:
        """One expression, as deep as may be."""
        kind = self.kind("any")
        choice = self.r.randrange(3)
        text = (
            self.condition(COLUMNS, depth) if choice == 0 else self.call(COLUMNS, depth + 1, kind)
        )
        if choice == 2:
            text = self.expr(kind, COLUMNS, depth + 1)
        return f"SELECT {text} FROM t1"

    def over(self, depth: int) -> str:
        """One aggregate over a sound window."""
        frame = self.pick(
            [
                "ROWS BETWEEN 3 PRECEDING AND CURRENT ROW",
                "ROWS_RANGE BETWEEN 3d PRECEDING AND CURRENT ROW MAXSIZE 10",
                "ROWS_RANGE BETWEEN 3d PRECEDING AND 1s PRECEDING",
            ]
        )
        inner = self.aggregate(COLUMNS, depth)
        union = "UNION t2 " if self.chance(0.3) else ""
        text = f"{inner} OVER w"
        if self.chance(0.25):
            text = self.pick(AROUND).format(text)
        key = self.pick(["a", "b", "id", "big", "d", "ok", "ts", "sm"])
        return (
            f"SELECT {text} FROM t1 WINDOW w AS ({union}PARTITION BY {key} ORDER BY "
            f"{self.pick(['ts', 'ts', 'big'])} {frame})"
        )

    def named(self, depth: int) -> str:
        """Tables with aliases, databases and in backticks."""
        alias = self.pick(["x", "T1", "`order`", "t2"])
        source = self.pick([f"t1 AS {alias}", f"t1 {alias}", f"db.t1 AS {alias}", f"`t1` {alias}"])
        if self.chance(0.3):
            alias = self.pick(["t1", "db.t1", "`db`.`t1`", "T1"])
            source = self.pick(["t1", "db.t1", "`db`.`t1`"])
        scope = [(f"{alias}.{n}", t) for n, t in COLUMNS]
        items = [self.expr(self.kind("any"), scope, depth - 1)]
        if self.chance(0.4):
            wanted = self.pick(["n", "`n m`", "N", "`select`", "select", "x1", "'q'", '"q"'])
            items[0] += f" AS {wanted}"
        if self.chance(0.2):
            # Not db.t.*: it is all columns of one table, and of a join none.
            items.append(self.pick(["*", f"{alias}.id AS i", "id", "id id"]))
        return f"SELECT {', '.join(items)} FROM {source}"

    def chained(self, depth: int) -> str:
        """Two joins."""
        first, second = self.pick([("t2", "u"), ("u", "t2")])
        mine = [(f"t1.{n}", t) for n, t in COLUMNS]
        tables = {"t2": COLUMNS, "u": OTHER}
        scope = list(mine)
        source = "t1"
        for table in (first, second):
            theirs = [(f"{table}.{n}", t) for n, t in tables[table]]
            key = self.pick([T.STRING, T.INT32])
            left = self.column(key, scope)
            order = f" ORDER BY {self.column(T.TIMESTAMP, theirs)}" if self.chance(0.6) else ""
            on = f"{left} = {self.column(key, theirs)}"
            if self.chance(0.2):
                on += f" AND {self.condition(mine + theirs, 1)}"
            kind = "LEFT" if self.chance(0.05) else "LAST"
            source += f" {kind} JOIN {table}{order} ON {on}"
            scope += theirs
        items = ", ".join(self.expr(self.kind("any"), scope, depth - 1) for _ in range(2))
        return f"SELECT {items} FROM {source}"

    def deep(self, depth: int) -> str:
        """Subqueries in subqueries."""
        inner = self.pick(
            [
                "SELECT id, a, c, ts FROM t1",
                "SELECT id AS id, upper(a) AS a, c * 2 AS c, ts FROM t1",
                "SELECT id, a, c, ts FROM (SELECT * FROM t1)",
                FRAMED,
                JOINED,
                "SELECT id, a, c, ts FROM t1 UNION ALL SELECT id, a, c, ts FROM t2",
            ]
        )
        names = [("id", T.INT32), ("a", T.STRING), ("c", T.DOUBLE), ("ts", T.TIMESTAMP)]
        alias = self.pick(["", " AS x", " x"])
        if self.chance(0.4):
            inner = (
                f"SELECT {self.pick(['*', 'id, a, c, ts', 'ts, c, a, id'])} FROM ({inner}){alias}"
            )
            alias = self.pick(["", " AS y"])
        scope = names
        if alias and self.chance(0.4):
            scope = [(f"{alias.split()[-1]}.{n}", t) for n, t in names]
        if self.chance(0.3):
            return self.windowed(f"({inner}){alias}", scope, depth - 1)
        items = ", ".join(self.expr(self.kind("any"), scope, depth - 1) for _ in range(2))
        where = f" WHERE {self.condition(scope, 1)}" if self.chance(0.15) else ""
        return f"SELECT {items} FROM ({inner}){alias}{where}"

    def united(self, depth: int) -> str:
        """UNION ALL of two computed results."""
        kinds = [self.kind("any") for _ in range(1 + self.r.randrange(2))]

        def side(table: str, other: float) -> str:
            items = ", ".join(
                f"{self.expr(k if not self.chance(other) else self.kind('any'), COLUMNS, 1)} AS c{i}"
                for i, k in enumerate(kinds)
            )
            return f"SELECT {items} FROM {table}"

        both = f"{side('t1', 0)} UNION ALL {side(self.pick(['t1', 't2']), 0.1)}"
        return both if self.chance(0.6) else f"SELECT c0 FROM ({both}) AS x"

    def having(self, depth: int) -> str:
        key = self.pick(["a", "id", "d", "ok", "ts", "sm", "big", "a, id"])
        items = [self.aggregate(COLUMNS, 1) for _ in range(1 + self.r.randrange(2))]
        if self.chance(0.5):
            items.append(key.split(",")[0])
        having = (
            f" HAVING {self.aggregate(COLUMNS, 1)} {self.pick(COMPARISON)} {self.leaf(T.INT32, [])}"
        )
        if self.chance(0.3):
            having = f" HAVING {self.pick(items)}"
        return (
            f"SELECT {', '.join(items)} FROM t1 GROUP BY {key}{having if self.chance(0.7) else ''}"
        )

    def inheriting(self, depth: int) -> str:
        """Several windows, one that names another, one that nothing is computed over."""
        first = self.window(COLUMNS, ["t2"])
        second = self.pick(["(w)", "w", self.window(COLUMNS, [])])
        used = self.pick(["w", "v"])
        texts = [f"{self.aggregate(COLUMNS, 1)} OVER {used}"]
        if self.chance(0.4):
            texts.append(f"{self.aggregate(COLUMNS, 1)} OVER {self.pick(['w', 'v'])} AS y")
        return f"SELECT {', '.join(texts)} FROM t1 WINDOW w AS {first}, v AS {second}"

    def sources(self, depth: int) -> str:
        """A window united with what has other columns, types or order, or is computed."""
        united = self.pick(
            [
                "(SELECT id, sm, big, a, b, f, c, ok, d, ts FROM t2)",
                "(SELECT id, sm, big, b, a, f, c, ok, d, ts FROM t2)",
                "(SELECT id, sm, big, b AS a, a AS b, f, c, ok, d, ts FROM t2)",
                "(SELECT id, sm, big, a, b, f, 1.5 AS c, ok, d, ts FROM t2)",
                "(SELECT id, sm, big, a, b, f, 1 AS c, ok, d, ts FROM t2)",
                "(SELECT id, sm, big, a, b, f, CAST(NULL AS double) AS c, ok, d, ts FROM t2)",
                "(SELECT id, sm, id AS big, a, b, f, c, ok, d, ts FROM t2)",
                "(SELECT * FROM t2 WHERE id > 1)",
                "(SELECT * FROM t2) AS q",
                "t2, (SELECT * FROM t2)",
                "db.t2",
                "t2 AS q",
                "u",
            ]
        )
        frame = "ROWS_RANGE BETWEEN 1d PRECEDING AND CURRENT ROW"
        inst = " INSTANCE_NOT_IN_WINDOW" if self.chance(0.3) else ""
        return (
            f"SELECT {self.aggregate(COLUMNS, 1)} OVER w AS y, {self.leaf(self.kind(D), COLUMNS)} "
            f"FROM t1 WINDOW w AS (UNION {united} PARTITION BY {self.pick(['a', 'id'])} ORDER BY ts "
            f"{frame}{inst})"
        )
