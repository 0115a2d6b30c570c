"""Marks only rise, by table; a reader follows the file."""

from nightshift.live.watermark import FILE, Watermark, advance, read


def test_marks_rise_by_table_and_never_fall(tmp_path):
    assert read(tmp_path) == {}
    advance(tmp_path, {"click": 100, "shown": 90})
    advance(tmp_path, {"click": 80, "order": 5})
    assert read(tmp_path) == {"click": 100, "shown": 90, "order": 5}


def test_a_reader_sees_each_rise_and_keeps_the_last_marks_where_the_file_is_gone(tmp_path):
    mark = Watermark(tmp_path)
    mark.refresh()
    assert (mark.tables, mark.text) == ({}, "{}")
    advance(tmp_path, {"shown": 90, "click": 100})
    mark.refresh()
    assert mark.text == '{"click":100,"shown":90}'
    (tmp_path / FILE).unlink()
    mark.refresh()
    assert mark.tables == {"click": 100, "shown": 90}


def test_a_broken_file_holds_no_mark(tmp_path):
    for text in ("{", "[1]", '{"click": "late"}'):
        (tmp_path / FILE).write_text(text)
        assert read(tmp_path) == {}
