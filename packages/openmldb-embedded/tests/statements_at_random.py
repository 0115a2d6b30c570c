"""Random SELECTs over two tables, sound ones and nearly sound ones, from one source of chance.

Everything is drawn from the ``random.Random`` that is given, so a seed repeats a statement and
Hypothesis shrinks one (``st.randoms``). Earlier alternatives are the plainer ones.
"""

from __future__ import annotations

from random import Random

from openmldb_sql.types import Schema, SqlType, schema_of

T = SqlType
COLUMNS: list[tuple[str, SqlType]] = [
    ("id", T.INT32),
    ("sm", T.INT16),
    ("big", T.INT64),
    ("a", T.STRING),
    ("b", T.STRING),
    ("f", T.FLOAT),
    ("c", T.DOUBLE),
    ("ok", T.BOOL),
    ("d", T.DATE),
    ("ts", T.TIMESTAMP),
]
OTHER: list[tuple[str, SqlType]] = [
    ("k", T.STRING),
    ("n", T.INT32),
    ("v", T.DOUBLE),
    ("seen", T.TIMESTAMP),
]
TABLES: dict[str, Schema] = {
    "t1": schema_of(COLUMNS),
    "t2": schema_of(COLUMNS),
    "u": schema_of(OTHER),
}

LITERALS = {
    T.BOOL: ["true", "false"],
    T.INT16: ["int16(3)"],
    T.INT32: ["1", "0", "-2", "2147483647", "0x1F", "int('7')"],
    T.INT64: ["3000000000", "5L", "-2147483649", "bigint(4)"],
    T.FLOAT: ["1.5f", "float(2)", "-0.25f"],
    T.DOUBLE: ["2.5", "1e3", ".5", "-1.0e-2", "double('1.5')"],
    T.STRING: ["'x'", "''", '"a,b"', "'it''s'", "'%_'", "'k1:1,k2:x'", "'2020-01-02'", "'世界'"],
    T.DATE: ["date('2020-01-02')"],
    T.TIMESTAMP: ["timestamp(1590738989000)", "timestamp('2020-01-02 03:04:05')"],
    T.NULL: ["NULL"],
}
FRAME = "PARTITION BY k ORDER BY seen ROWS BETWEEN 3 PRECEDING AND CURRENT ROW"
ARITHMETIC = ["+", "-", "*", "/", "%", "DIV"]
COMPARISON = ["=", "<", ">", "<=", ">=", "!=", "<>", "=="]
LOGIC = ["AND", "OR", "XOR"]
BITS = ["&", "|", "^"]
CASTS = {
    T.BOOL: ["bool"],
    T.INT16: ["smallint", "int16"],
    T.INT32: ["int", "int32"],
    T.INT64: ["bigint", "int64"],
    T.FLOAT: ["float"],
    T.DOUBLE: ["double"],
    T.STRING: ["string"],
    T.DATE: ["date"],
    T.TIMESTAMP: ["timestamp"],
}
N, S, W, D, B = "number", "text", "whole", "time", "bool"
SCALARS: dict[str, list[list[str]]] = {
    "abs": [[N]],
    "acos": [[N]],
    "add": [[N, N]],
    "add_months": [[D, W]],
    "asin": [[N]],
    "atan": [[N], [N, N]],
    "atan2": [[N, N]],
    "ceil": [[N]],
    "ceiling": [[N]],
    "char": [[W]],
    "char_length": [[S]],
    "character_length": [[S]],
    "concat": [["any"], ["any", "any"], ["any", "any", "any"]],
    "concat_ws": [["any", "any"], ["any", "any", "any"]],
    "cos": [[N]],
    "cot": [[N]],
    "date_format": [[D, S]],
    "datediff": [[D, D], [S, S]],
    "day": [[D]],
    "dayofmonth": [[D]],
    "dayofweek": [[D]],
    "dayofyear": [[D]],
    "degrees": [[N]],
    "earth_distance": [[N, N, N, N]],
    "exp": [[N]],
    "farm_fingerprint": [["any"]],
    "floor": [[N]],
    "get_json_object": [[S, S]],
    "hash64": [["any"]],
    "hex": [[N], [S]],
    "hour": [[D]],
    "identity": [["any"]],
    "if_null": [["same", "same"]],
    "ifnull": [["same", "same"], ["any", "any"]],
    "ilike_match": [[S, S], [S, S, S]],
    "inc": [[W]],
    "is_null": [["any"]],
    "isnull": [["any"]],
    "json_array_length": [[S]],
    "last_day": [[D]],
    "lcase": [[S]],
    "like_match": [[S, S], [S, S, S]],
    "ln": [[N]],
    "locate": [[S, S], [S, S, W]],
    "log": [[N], [N, N]],
    "log10": [[N]],
    "log2": [[N]],
    "lower": [[S]],
    "maximum": [["same", "same"], [N, N]],
    "minimum": [["same", "same"], [N, N]],
    "minute": [[D]],
    "month": [[D]],
    "nvl": [["same", "same"], ["any", "any"]],
    "nvl2": [["any", "same", "same"]],
    "pmod": [[W, W], [N, N]],
    "pow": [[N, N]],
    "power": [[N, N]],
    "radians": [[N]],
    "regexp_like": [[S, S], [S, S, S]],
    "replace": [[S, S], [S, S, S]],
    "reverse": [[S]],
    "round": [[N], [N, W]],
    "second": [[D]],
    "sin": [[N]],
    "sqrt": [[N]],
    "strcmp": [[S, S]],
    "string": [["any"]],
    "substr": [[S, W], [S, W, W]],
    "substring": [[S, W], [S, W, W]],
    "tan": [[N]],
    "truncate": [[N], [N, W]],
    "ucase": [[S]],
    "unhex": [[S]],
    "unix_timestamp": [[S], [D], []],
    "upper": [[S]],
    "week": [[D]],
    "weekofyear": [[D]],
    "year": [[D]],
    # not OpenMLDB's, or removed from it
    "coalesce": [["same", "same"]],
    "trim": [[S]],
    "greatest": [["same", "same"]],
    "least": [["same", "same"]],
    "ltrim": [[S]],
    "scalar": [["any"]],
    "nullif": [["same", "same"]],
    "if": [[B, "same", "same"]],
    "mod": [[W, W]],
    "length": [[S]],
    "starts_with": [[S, S]],
    "trunc": [[N]],
    "now": [[]],
}
AGGREGATES: dict[str, list[list[str]]] = {
    "sum": [[N], ["any"]],
    "avg": [[N], ["any"]],
    "count": [["any"], ["*"]],
    "min": [["any"]],
    "max": [["any"]],
    "distinct_count": [["any"]],
    "first_value": [["any"]],
    "last_value": [["any"]],
    "lag": [["any", "k"]],
    "at": [["any", "k"]],
    "sum_where": [[N, B]],
    "avg_where": [[N, B]],
    "max_cate_where": [[N, B, "any"]],
    "min_cate_where": [[N, B, "any"]],
    "min_where": [[N, B]],
    "max_where": [[N, B]],
    "count_where": [["any", B], ["*", B]],
    "median": [[N]],
    "std": [[N]],
    "stddev": [[N]],
    "stddev_pop": [[N]],
    "stddev_samp": [[N]],
    "variance": [[N]],
    "var_samp": [[N]],
    "var_pop": [[N]],
    "entropy": [["any"]],
    "ew_avg": [[N, "alpha"]],
    "drawdown": [[N]],
    "top1_ratio": [["any"]],
    "topn_frequency": [["any", "k"]],
    "top": [[N, "k"], ["any", "k"]],
    "nth_value_where": [["any", "k", B]],
    "count_cate": [["any", "any"]],
    "sum_cate": [[N, "any"]],
    "avg_cate": [[N, "any"]],
    "min_cate": [[N, "any"]],
    "max_cate": [[N, "any"]],
    "count_cate_where": [["any", B, "any"]],
    "sum_cate_where": [[N, B, "any"]],
    "avg_cate_where": [[N, B, "any"]],
    "top_n_key_sum_cate_where": [[N, B, "any", "k"]],
    "top_n_key_count_cate_where": [["any", B, "any", "k"]],
    "top_n_key_ratio_cate": [[N, B, "any", "k"]],
    "top_n_key_avg_cate_where": [[N, B, "any", "k"]],
    "top_n_key_max_cate_where": [[N, B, "any", "k"]],
    "top_n_key_min_cate_where": [[N, B, "any", "k"]],
    "top_n_value_avg_cate_where": [[N, B, "any", "k"]],
    "top_n_value_count_cate_where": [["any", B, "any", "k"]],
    "top_n_value_max_cate_where": [[N, B, "any", "k"]],
    "top_n_value_min_cate_where": [[N, B, "any", "k"]],
    "top_n_value_ratio_cate": [[N, B, "any", "k"]],
    "top_n_value_sum_cate_where": [[N, B, "any", "k"]],
    "fz_top1_ratio": [["any"]],
    "fz_topn_frequency": [["any", "k"]],
}
KINDS: dict[str, list[SqlType]] = {
    N: [T.INT32, T.DOUBLE, T.INT64, T.FLOAT, T.INT16],
    S: [T.STRING],
    W: [T.INT32, T.INT64, T.INT16],
    D: [T.TIMESTAMP, T.DATE, T.INT64],
    B: [T.BOOL],
    "any": [
        T.INT32,
        T.STRING,
        T.DOUBLE,
        T.TIMESTAMP,
        T.DATE,
        T.BOOL,
        T.INT64,
        T.FLOAT,
        T.INT16,
    ],
}


class Statements:
    """Draws statements.

    Args:
        random: Where chance comes from.
        astray: How often a choice is made against the types or the grammar's habits.
    """

    def __init__(self, random: Random, astray: float = 0.08) -> None:
        self.r = random
        self.astray = astray

    def chance(self, p: float) -> bool:
        return self.r.random() > 1 - p

    def pick(self, items):
        return items[self.r.randrange(len(items))]

    # ------------------------------------------------------------ expressions

    def column(self, kind: SqlType, scope) -> str | None:
        fitting = [name for name, t in scope if t is kind]
        return self.pick(fitting) if fitting else None

    def kind(self, name: str, same: SqlType | None = None) -> SqlType:
        if self.chance(self.astray):
            name = "any"
        if name == "same" and same is not None:
            return same
        return self.pick(KINDS.get(name, KINDS["any"]))

    def leaf(self, kind: SqlType, scope) -> str:
        column = self.column(kind, scope)
        if column is None or self.chance(0.25):
            return "NULL" if self.chance(0.06) else self.pick(LITERALS[kind])
        return column

    def expr(self, kind: SqlType, scope, depth: int) -> str:
        """An expression that is meant to be of a type."""
        if depth <= 0 or self.chance(0.3):
            return self.leaf(kind, scope)
        choice = self.r.randrange(10)
        if choice < 3:
            return self.call(scope, depth, kind)
        if choice < 4:
            other = self.kind("any")
            written = self.pick(CASTS[kind])
            inner = self.expr(other, scope, depth - 1)
            return f"CAST({inner} AS {written})" if self.chance(0.5) else f"{written}({inner})"
        if choice < 5:
            return self.case(kind, scope, depth)
        if kind is T.BOOL:
            return self.condition(scope, depth)
        if kind.is_numeric or self.chance(self.astray):
            a, b = self.kind(N), self.kind(N)
            op = self.pick(ARITHMETIC if self.chance(0.8) else BITS)
            left, right = self.expr(a, scope, depth - 1), self.expr(b, scope, depth - 1)
            text = f"{left} {op} {right}"
            return f"({text})" if self.chance(0.6) else text
        if kind is T.STRING and self.chance(0.1):
            return f"{self.leaf(kind, scope)} || {self.leaf(kind, scope)}"
        if self.chance(0.15):
            sign = self.pick(["-", "~", "NOT ", "+", "!"])
            return f"{sign}{self.expr(kind, scope, depth - 1)}"
        return self.leaf(kind, scope)

    def condition(self, scope, depth: int) -> str:
        choice = self.r.randrange(9)
        kind = self.kind("any")
        other = kind if not self.chance(0.2) else self.kind("any")
        left = self.expr(kind, scope, depth - 1)
        if choice < 3:
            return f"{left} {self.pick(COMPARISON)} {self.expr(other, scope, depth - 1)}"
        if choice == 3:
            a, b = (self.expr(self.kind(B), scope, depth - 1) for _ in range(2))
            return f"({a} {self.pick(LOGIC)} {b})"
        if choice == 4:
            return f"NOT {self.expr(self.kind(B), scope, depth - 1)}"
        no = "NOT " if self.chance(0.3) else ""
        if choice == 5:
            items = ", ".join(self.leaf(other, scope) for _ in range(1 + self.r.randrange(3)))
            return f"{left} {no}IN ({items})"
        if choice == 6:
            low, high = self.leaf(other, scope), self.leaf(other, scope)
            return f"{left} {no}BETWEEN {low} AND {high}"
        if choice == 7:
            text = self.expr(self.kind(S), scope, depth - 1)
            escape = " ESCAPE '!'" if self.chance(0.2) else ""
            return f"{text} {no}{self.pick(['LIKE', 'ILIKE', 'RLIKE'])} 'x%'{escape}"
        return f"{left} IS {no}NULL"

    def case(self, kind: SqlType, scope, depth: int) -> str:
        def value() -> str:
            return self.expr(
                kind if not self.chance(self.astray) else self.kind("any"), scope, depth - 1
            )

        arms = range(1 + self.r.randrange(2))
        otherwise = f" ELSE {value()}" if not self.chance(0.3) else ""
        if self.chance(0.25):
            subject = self.kind("any")
            parts = " ".join(f"WHEN {self.leaf(subject, scope)} THEN {value()}" for _ in arms)
            return f"CASE {self.leaf(subject, scope)} {parts}{otherwise} END"
        parts = " ".join(
            f"WHEN {self.expr(self.kind(B), scope, depth - 1)} THEN {value()}" for _ in arms
        )
        return f"CASE {parts}{otherwise} END"

    def arguments(self, shape: list[str], scope, depth: int, same: SqlType) -> str:
        written = []
        for wanted in shape:
            if wanted == "*":
                written.append("*")
            elif wanted == "k":
                written.append(self.pick(["1", "2", "0", "3"]) if not self.chance(0.1) else "-1")
            elif wanted == "alpha":
                written.append(self.pick(["0.5", "1", "0.1"]))
            else:
                written.append(self.expr(self.kind(wanted, same), scope, depth - 1))
        if self.chance(self.astray / 2):
            written.append(self.leaf(self.kind("any"), scope))
        if self.chance(self.astray / 2) and written:
            written.pop()
        return ", ".join(written)

    def call(self, scope, depth: int, same: SqlType) -> str:
        name = self.pick(list(SCALARS))
        return f"{name}({self.arguments(self.pick(SCALARS[name]), scope, depth, same)})"

    def aggregate(self, scope, depth: int) -> str:
        name = self.pick(list(AGGREGATES))
        same = self.kind("any")
        if self.chance(0.05):
            name = self.pick(["count", "distinct_count", "top1_ratio", "sum"])
            text = self.leaf(T.STRING, scope)
            return f"{name}({self.pick(['window_split', 'split', 'fz_window_split'])}({text}, ','))"
        inner = self.arguments(self.pick(AGGREGATES[name]), scope, depth, same)
        distinct = "DISTINCT " if self.chance(0.01) else ""
        return f"{name}({distinct}{inner})"

    # ------------------------------------------------------------ windows

    def bound(self, rows: bool) -> str:
        if rows != self.chance(self.astray / 2):
            return str(self.r.randrange(5))
        return self.pick(["3s", "2m", "1h", "3d", "1000", "0s"])

    def window(self, scope, unions: list[str]) -> str:
        rows = self.chance(0.45)
        start = "UNBOUNDED" if self.chance(0.15) else self.bound(rows)
        end = "CURRENT ROW" if self.chance(0.7) else f"{self.bound(rows)} PRECEDING"
        if self.chance(0.04):
            end = self.pick(["UNBOUNDED PRECEDING", "1 FOLLOWING", "UNBOUNDED FOLLOWING"])
        open_ = " OPEN" if self.chance(0.08) else ""
        key = self.column(self.pick([T.STRING, T.INT32, T.INT64, T.DATE]), scope) or scope[0][0]
        if self.chance(self.astray):
            key = self.leaf(self.kind("any"), scope)
        if self.chance(0.15):
            key += f", {self.leaf(self.kind('any'), scope)}"
        order = self.column(T.TIMESTAMP, scope) or scope[0][0]
        if self.chance(0.12):
            order = self.leaf(self.kind("any"), scope)
        parts = []
        if unions and self.chance(0.3):
            parts.append(f"UNION {', '.join(unions)}")
        if not self.chance(0.02):
            parts.append(f"PARTITION BY {key}")
        if not self.chance(0.05):
            parts.append(f"ORDER BY {order}{' DESC' if self.chance(0.04) else ''}")
        if not self.chance(0.03):
            frame = "ROWS" if rows else "ROWS_RANGE"
            if self.chance(0.02):
                frame = "RANGE"
            parts.append(f"{frame} BETWEEN {start}{open_} PRECEDING AND {end}")
            if self.chance(0.15 if not rows else 0.03):
                parts.append(f"MAXSIZE {self.r.randrange(4)}")
        words = ("EXCLUDE CURRENT_ROW", "EXCLUDE CURRENT_TIME", "INSTANCE_NOT_IN_WINDOW")
        parts.extend(word for word in words if self.chance(0.08))
        return f"({' '.join(parts)})"

    # ------------------------------------------------------------ selects

    def items(self, scope, windows: list[str], depth: int) -> list[str]:
        found = []
        for number in range(1 + self.r.randrange(3)):
            if windows and self.chance(0.6):
                over = self.pick(windows)
                text = f"{self.aggregate(scope, depth)} OVER {over}"
                if self.chance(0.12):
                    text = f"{text} {self.pick(ARITHMETIC)} {self.leaf(self.kind(N), scope)}"
                if self.chance(0.05):
                    text += f" + {self.aggregate(scope, 0)} OVER {self.pick(windows)}"
                if self.chance(0.05):
                    text = f"CASE WHEN {self.condition(scope, 1)} THEN {text} END"
            else:
                text = self.expr(self.kind("any"), scope, depth)
            found.append(text if self.chance(0.4) else f"{text} AS x{number}")
        if self.chance(0.1):
            found.append("*")
        return found

    def select(self, depth: int = 2) -> str:
        """One SELECT of any shape."""
        shape = self.r.randrange(20)
        if shape < 6:
            return self.plain(depth)
        if shape < 12:
            return self.windowed("t1", COLUMNS, depth)
        if shape < 15:
            return self.joined(depth)
        if shape < 16:
            return self.grouped(depth)
        if shape < 18:
            return self.nested(depth)
        if shape < 19:
            inner = self.plain(1)
            return f"WITH q AS ({inner}) SELECT * FROM q"
        kind = self.pick(["UNION ALL", "UNION DISTINCT", "UNION"])
        other = self.pick(["SELECT id FROM t2", "SELECT n FROM u", "SELECT a FROM t2"])
        return f"SELECT id FROM t1 {kind} {other}"

    def plain(self, depth: int) -> str:
        items = ", ".join(self.items(COLUMNS, [], depth))
        where = f" WHERE {self.condition(COLUMNS, depth)}" if self.chance(0.2) else ""
        order = f" ORDER BY {self.leaf(T.INT32, COLUMNS)}" if self.chance(0.03) else ""
        limit = f" LIMIT {self.r.randrange(3)}" if self.chance(0.1) else ""
        distinct = "DISTINCT " if self.chance(0.04) else ""
        return f"SELECT {distinct}{items} FROM t1{where}{order}{limit}"

    def windowed(self, source: str, scope, depth: int) -> str:
        unions = ["t2"] if self.chance(0.8) else ["(SELECT * FROM t2)"]
        if self.chance(0.1):
            unions = [self.pick(["u", "t2, t1", "(SELECT id, a FROM t2)"])]
        if source != "t1":
            unions = []
        if self.chance(0.2):
            spelled = [self.window(scope, unions)]
            items = ", ".join(self.items(scope, spelled, depth))
            return f"SELECT {items} FROM {source}"
        count = 1 if self.chance(0.8) else 2
        names = [f"w{i}" for i in range(count)]
        defined = ", ".join(f"{n} AS {self.window(scope, unions)}" for n in names)
        if self.chance(0.02):
            names.append("nowhere")
        items = ", ".join(self.items(scope, names, depth))
        where = f" WHERE {self.condition(scope, 1)}" if self.chance(0.05) else ""
        having = " HAVING count(id) > 1" if self.chance(0.02) else ""
        return f"SELECT {items} FROM {source}{where}{having} WINDOW {defined}"

    def joined(self, depth: int) -> str:
        kind = "LAST" if self.chance(0.8) else self.pick(["LEFT", "INNER", "FULL", ""])
        right, scope = self.pick([("t2", COLUMNS), ("u", OTHER)])
        name = right
        if self.chance(0.25):
            inner = self.pick(
                [
                    "SELECT * FROM u",
                    "SELECT k, n, v, seen FROM u WHERE n > 1",
                    "SELECT k, n + 1 AS n, v, seen FROM u",
                    "SELECT k, max(n) AS n, max(v) AS v, max(seen) AS seen FROM u GROUP BY k",
                    f"SELECT k, n, sum(v) OVER w AS v, seen FROM u WINDOW w AS ({FRAME})",
                ]
            )
            right, name, scope = f"({inner}) AS y", "y", OTHER
        wide = [(f"t1.{n}", t) for n, t in COLUMNS] + [(f"{name}.{n}", t) for n, t in scope]
        mine, theirs = wide[: len(COLUMNS)], wide[len(COLUMNS) :]
        key = self.pick([T.STRING, T.INT32])
        order = ""
        if kind == "LAST" and not self.chance(0.35):
            by = self.column(T.TIMESTAMP, theirs) or theirs[0][0]
            if self.chance(0.15):
                by = self.leaf(self.kind("any"), theirs)
            order = f" ORDER BY {by}{' DESC' if self.chance(0.1) else ''}"
        left = (
            self.column(key, mine) if not self.chance(0.12) else self.leaf(self.kind("any"), mine)
        )
        terms = [f"{left} = {self.column(key, theirs) or theirs[0][0]}"]
        if self.chance(0.25):
            terms.append(self.condition(wide, 1))
        if self.chance(0.06):
            terms = terms[1:] or [self.condition(wide, 1)]
        on = f" ON {' AND '.join(terms)}"
        source = f"t1 {kind} JOIN {right}{order}{on}"
        if self.chance(0.25):
            window = self.window(mine, [])
            items = ", ".join(self.items(wide, ["w"], depth - 1))
            return f"SELECT {items} FROM {source} WINDOW w AS {window}"
        items = ", ".join(self.items(wide, [], depth - 1))
        where = f" WHERE {self.condition(wide, 1)}" if self.chance(0.06) else ""
        return f"SELECT {items} FROM {source}{where}"

    def grouped(self, depth: int) -> str:
        keys = [self.leaf(self.kind("any"), COLUMNS) for _ in range(self.r.randrange(3))]
        parts = []
        for number in range(1 + self.r.randrange(2)):
            text = self.aggregate(COLUMNS, depth - 1)
            if keys and self.chance(0.4):
                text = self.pick(keys)
            if self.chance(0.15):
                text = f"{text} + {self.leaf(self.kind(N), COLUMNS)}"
            parts.append(text if self.chance(0.4) else f"{text} AS x{number}")
        group = f" GROUP BY {', '.join(keys)}" if keys else ""
        having = f" HAVING {self.aggregate(COLUMNS, 1)} > 1" if self.chance(0.2) else ""
        where = f" WHERE {self.condition(COLUMNS, 1)}" if self.chance(0.2) else ""
        return f"SELECT {', '.join(parts)} FROM t1{where}{group}{having}"

    def nested(self, depth: int) -> str:
        if self.chance(0.5):
            inner = "SELECT id, a, c, ts FROM t1"
            if self.chance(0.3):
                inner = self.pick(
                    [
                        "SELECT id, a, c + 1 AS c, ts FROM t1",
                        "SELECT id, a, c, ts FROM t1 WHERE id > 1",
                        "SELECT id, a, c, ts FROM t1 LIMIT 2",
                    ]
                )
            scope = [("id", T.INT32), ("a", T.STRING), ("c", T.DOUBLE), ("ts", T.TIMESTAMP)]
            return self.windowed(f"({inner})", scope, depth)
        inner = (
            "SELECT id, a, sum(c) OVER w AS s, count(*) OVER w AS n FROM t1 WINDOW w AS (PARTITION "
            "BY a ORDER BY ts ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)"
        )
        scope = [("id", T.INT32), ("a", T.STRING), ("s", T.DOUBLE), ("n", T.INT64)]
        items = ", ".join(self.items(scope, [], depth))
        where = f" WHERE {self.condition(scope, 1)}" if self.chance(0.1) else ""
        return f"SELECT {items} FROM ({inner}) AS x{where}"
