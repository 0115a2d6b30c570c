"""A canary's share of the users."""

import pytest

from nightshift.live.share import position


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_the_share_of_users_is_the_share(share):
    mine = sum(position(f"u{n}", "r", b"key") < share for n in range(20_000))
    assert mine == pytest.approx(share * 20_000, abs=5 * (20_000 * share) ** 0.5)


def test_a_user_stays_and_a_growing_share_keeps_its_users():
    small = {n for n in range(2000) if position(n, "r", b"key") < 0.1}
    large = {n for n in range(2000) if position(n, "r", b"key") < 0.3}
    assert small < large


def test_another_release_or_key_has_other_users():
    mine = {n for n in range(2000) if position(n, "r", b"key") < 0.1}
    for release, key in (("s", b"key"), ("r", b"other")):
        other = {n for n in range(2000) if position(n, release, key) < 0.1}
        assert len(mine & other) < 60  # 20 by chance
