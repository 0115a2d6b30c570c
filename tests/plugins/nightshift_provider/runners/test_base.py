"""What runners share: a task in plain values, and its log in bounds."""

import pytest
from nightshift_provider.runners import base
from nightshift_provider.runners.base import LogChunk, LogPump, leftover, task_folders


class Written:
    """A runner whose task writes lines; positions are their numbers."""

    def __init__(self):
        self.lines = []

    def read_log(self, spec, position, max_bytes):
        start = int(position or 0)
        found, size = [], 0
        for line in self.lines[start:]:
            if size + len(line) > max_bytes:
                break
            found.append(line)
            size += len(line)
        return LogChunk(found, str(start + len(found)), omitted=False)

    def log_tail(self, spec, lines):
        return self.lines[-lines:]


@pytest.fixture
def spec(tmp_path):
    from types import SimpleNamespace

    made = leftover(SimpleNamespace(home=tmp_path), "jd-train")
    folder = task_folders(tmp_path) / "jd-train"
    folder.mkdir(parents=True)
    assert made.state_dir == str(folder)
    return made


def test_a_spec_travels_to_a_trigger_in_plain_values(spec):
    assert base.TaskSpec.from_dict(spec.to_dict()) == spec


def test_each_line_is_shown_once_whoever_asks(spec):
    runner = Written()
    runner.lines = ["a", "b"]
    assert LogPump(runner, spec).round() == ["a", "b"]
    runner.lines.append("c")
    assert LogPump(runner, spec).round() == ["c"]
    assert LogPump(runner, spec).last() == []


def test_a_cleared_task_begins_its_log_anew(spec):
    from dataclasses import replace

    runner = Written()
    runner.lines = ["a"]
    LogPump(runner, spec).round()
    assert LogPump(runner, replace(spec, generation=spec.generation + 1)).round() == ["a"]


def test_a_broken_note_shows_lines_again_rather_than_failing(spec, tmp_path):
    runner = Written()
    runner.lines = ["a"]
    LogPump(runner, spec).round()
    (task_folders(tmp_path) / "jd-train" / "log_position.json").write_text("{")
    assert LogPump(runner, spec).round() == ["a"]


def test_a_long_log_is_cut_and_its_end_follows(spec, monkeypatch):
    monkeypatch.setattr(base, "LOG_MAX_LINES", 5)
    runner = Written()
    runner.lines = [f"{n}" for n in range(9)]
    pump = LogPump(runner, spec)
    shown = pump.round()
    assert shown[:5] == ["0", "1", "2", "3", "4"]
    assert "5 lines shown" in shown[5]
    assert pump.round() == []
    last = pump.last()
    assert last[0] == "... the end of the log:"
    assert last[1:] == runner.lines


def test_a_long_line_is_cut(spec):
    runner = Written()
    runner.lines = ["x" * 10_000]
    (line,) = LogPump(runner, spec).round()
    assert len(line) == 4000
