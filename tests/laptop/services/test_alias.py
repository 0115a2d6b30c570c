import pytest

from laptop.services.alias import plain_path
from nightshift.errors import ConfigurationError


def test_a_plain_path_is_taken_as_it_is(tmp_path):
    assert plain_path(tmp_path / "home-1", tmp_path) == tmp_path / "home-1"


@pytest.mark.parametrize("name", ["a home", "it's", "a$b", "a;b", "häuschen"])
def test_another_gets_a_link_that_leads_there_and_is_the_same_each_time(tmp_path, name):
    home = tmp_path / name
    home.mkdir()
    (home / "file").write_text("here")
    link = plain_path(home, tmp_path)
    assert (link / "file").read_text() == "here"
    assert " " not in str(link)
    assert plain_path(home, tmp_path) == link


def test_two_homes_have_two_links_and_a_wrong_link_is_set_right(tmp_path):
    first, second = tmp_path / "a b", tmp_path / "a c"
    first.mkdir()
    second.mkdir()
    one, two = plain_path(first, tmp_path), plain_path(second, tmp_path)
    assert one != two
    one.unlink()
    one.symlink_to(second)
    assert plain_path(first, tmp_path).resolve() == first


def test_a_folder_that_others_may_write_to_is_not_trusted(tmp_path):
    home = tmp_path / "a home"
    home.mkdir()
    plain_path(home, tmp_path).parent.chmod(0o777)
    with pytest.raises(ConfigurationError, match="private folder"):
        plain_path(home, tmp_path)
