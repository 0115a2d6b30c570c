"""Text for a terminal: durations, tables, ends of logs."""

import pytest

from cli.console import progress, seconds, table, tail


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (99.4, "99 s"),
        (119.7, "2 min 00 s"),
        (185, "3 min 05 s"),
    ],
)
def test_durations(value, text):
    assert seconds(value) == text


def test_a_table_is_aligned_and_has_no_blanks_at_the_ends_of_lines():
    assert table(("a", "name"), [("10", "x"), ("2", "")]) == "a   name\n10  x\n2"


def test_the_end_of_a_log(tmp_path):
    log = tmp_path / "log"
    assert tail(log) == f"    (no {log})"
    log.write_bytes(b"".join(b"line %d \xff\n" % n for n in range(1000)))
    assert tail(log, 2) == "    line 998 \ufffd\n    line 999 \ufffd"


def test_a_step_says_whether_it_failed(capsys):
    with progress("Good"):
        pass
    with pytest.raises(ValueError, match="x"), progress("Bad"):
        raise ValueError("x")
    good, bad = capsys.readouterr().out.splitlines()
    assert good.startswith("  Good: done in ")
    assert bad.startswith("  Bad: failed after ")
