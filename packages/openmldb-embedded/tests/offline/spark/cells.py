"""Cells of CSV files by a seed, for each type a column may have.

What is listed as answered otherwise on purpose (docs/sql.md) is left out: a time of day alone,
dates outside the years 1 to 9999, and a quote within a quoted cell that a backslash follows.
"""

from __future__ import annotations

import random

DATES = [
    "2020-05-29", "2020-5-9", "2020-05", "2020", "2020/05/29", "20200529", "0001-01-01",
    "9999-12-31", "2020-13", "29.05.2020", "1899-12-31", "1582-10-10", "+2020-05-29",
]  # fmt: skip
TIMES = [
    "15:56:29", "15:56", "15", "5:6:7", "15:56:29.", "15:56:29.1", "15:56:29.123",
    "15:56:29.123456", "15:56:29.1234567890", "15:56:60", "24:00:00", "15:56:29,123", "3:56 PM",
]  # fmt: skip
ZONES = [
    "", "", "", "Z", "z", "+08:00", "+0800", "+08", "+8", "-05:30", "+5:30", "UTC", "GMT", "GMT+8",
    " UTC", " +08:00", " Asia/Shanghai", "America/New_York", "[Asia/Shanghai]", "CST", "EST", "UT",
    "+18:00", "+18:01", "+08:00:30", "+080030", "-00:00", "Europe/Berlin", "Nowhere/Atall", "A",
]  # fmt: skip
NUMBERS = [
    "1", "+1", "-1", "-0", "00012", "1.0", "1.", ".5", "-.5", "1e3", "1E+3", "1e", " 1", "1 ", "1L",
    "1f", "1.5D", "0x1F", "0x1p3", "0x.8P-1", "1_000", "1,5", "32767", "32768", "-32768", "-32769",
    "2147483648", "-2147483649", "9223372036854775807", "9223372036854775808",
    "-9223372036854775808", "000000000000000000000000001", "\u0663", "\uff11", "NaN", "nan", "Inf",
    "-Inf", "inf", "Infinity", "-Infinity", "+Infinity", "+NaN", "1e400", "-1e400", "4.9e-324",
    "3.4028236e38", "1e39", "16777217", "0.1", "1.4e-46", "--1", "+", "true", "null", "NULL", "",
]  # fmt: skip
FLAGS = [
    "true", "false", "TRUE", "False", "t", "f", "1", "0", "yes", " true", "true ", "null", "",
]  # fmt: skip
MILLISECONDS = ["1590738989001", "0", "-1", "+5", " 5", "99999999999999999", "1e12", "5.5", "x"]


def texts(kind: str, seed: int, count: int) -> list[str]:
    """Cells for a column of the type, none of them with a comma."""
    pick = random.Random(f"{kind} {seed}")
    if kind in ("smallint", "int", "bigint", "float", "double"):
        found = NUMBERS
    elif kind == "bool":
        found = FLAGS
    elif kind == "string":
        found = ["".join(pick.choices('""\\\\ab \'\t', k=pick.randint(1, 7))) for _ in range(count)]
        found = [text for text in found if '"\\' not in text[1:]]
    elif kind == "date":
        found = DATES + [
            f"{pick.choice(DATES)}{pick.choice(' T')}{pick.choice(TIMES)}" for _ in range(count)
        ]
    else:
        found = [
            f"{pick.choice(DATES)}{pick.choice([' ', 'T', 'T', 't'])}{pick.choice(TIMES)}"
            f"{pick.choice(ZONES)}"
            for _ in range(count)
        ] + [pick.choice(DATES) + pick.choice(ZONES) for _ in range(count // 4)]
        found += MILLISECONDS
    return [text for text in dict.fromkeys(found) if "," not in text]
