from nightshift.live.hiding import HASHED, Hider, keyed_hash

REQUEST = ["id", "user", "city"]
FEATURES = ["id", "who", "city", "count"]


def test_hidden_fields_are_hashed_or_left_out_wherever_their_text_appears():
    hider = Hider(["user"], ["city"], b"k" * 32, REQUEST, FEATURES)
    rows, features = hider.hide([["r1", "ann", "Rome"]], [["r1", "ann", "Rome", 3]])
    hashed = keyed_hash("ann", b"k" * 32)
    assert rows == [["r1", hashed, None]]
    assert features == [["r1", hashed, None, 3]]
    assert hashed.startswith(HASHED)
    assert "ann" not in hashed


def test_a_hash_depends_on_the_key_and_equal_values_share_it():
    assert keyed_hash("ann", b"a" * 32) == keyed_hash("ann", b"a" * 32)
    assert keyed_hash("ann", b"a" * 32) != keyed_hash("ann", b"b" * 32)
    assert keyed_hash(5, b"a" * 32) == keyed_hash("5", b"a" * 32)
    assert keyed_hash(None, b"a" * 32) is None


def test_rows_are_copied_and_without_a_hidden_field_nothing_is_done():
    row, features = ["r1", "ann", "Rome"], ["r1", "ann", "Rome", 3]
    Hider(["user"], [], b"k", REQUEST, FEATURES).hide([row], [features])
    assert row == ["r1", "ann", "Rome"]
    assert Hider([], [], b"", REQUEST, FEATURES).idle
