"""Messages through real servers: a webhook, Slack's payload, e-mail."""

import pytest

from nightshift.errors import ConfigurationError
from nightshift.notify.channels import channels, parse
from nightshift.settings import Settings
from testing.receivers import mail_server, web_server


def send(url, **message):
    (channel,) = parse(url, source="test")
    return channel.send(
        **{"title": "a night failed", "text": "why: a < b\nand", "severity": "failure", **message}
    )


def test_a_webhook_gets_title_text_and_severity():
    with web_server() as web:
        assert send(f"json://127.0.0.1:{web.port}/hook") is None
    ((_, path, body),) = web.got
    assert path.startswith("/hook")
    assert (body["title"], body["message"]) == ("a night failed", "why: a < b\nand")
    assert body["type"] == "failure"


def test_slacks_payload_is_understood_by_a_server_of_that_kind():
    with web_server() as web:
        assert send(f"mmost://127.0.0.1:{web.port}/3ccdd113474722377935511fc85d3dd4") is None
    ((_, path, body),) = web.got
    assert path == "/hooks/3ccdd113474722377935511fc85d3dd4"
    assert "a night failed" in body["text"]
    assert "why: a < b" in body["text"]


def test_an_e_mail_shows_the_text_as_it_is():
    with mail_server() as mail:
        assert send(f"mailto://127.0.0.1:{mail.port}?from=a@b.example&to=c@d.example") is None
    (message,) = mail.got
    assert message["Subject"] == "a night failed"
    assert "c@d.example" in message["To"]
    body = message.get_body(("plain",)) or message.get_body(("html",))
    assert "why: a" in body.get_content()


def test_a_target_that_refuses_says_so():
    with web_server() as web:
        web.status = 500
        assert "500" in send(f"json://127.0.0.1:{web.port}/")
        port = web.port
    assert send(f"json://127.0.0.1:{port}/")  # nobody listens any more


def test_tags_choose_what_a_target_hears_of():
    both = parse("json://a/\njd,disk=json://b/\n# none\n\n", source="test")
    assert [c.wants({"night", "failure", "style"}) for c in both] == [True, False]
    assert [c.wants({"night", "failure", "jd"}) for c in both] == [True, True]


def test_a_target_keeps_its_name_when_its_password_changes_and_never_shows_it():
    (old,) = parse("mailto://u:secret1@h.example?to=a@b.example", source="test")
    (new,) = parse("mailto://u:secret2@h.example?to=a@b.example", source="test")
    assert old.id == new.id
    assert "secret" not in old.shown


@pytest.mark.parametrize("line", ["bogus://x", "include /etc/passwd", "hello", "json://secret:"])
def test_a_line_that_is_no_target_is_named_without_its_content(tmp_path, line):
    file = tmp_path / "targets"
    file.write_text(f"json://h/\n{line}\n")
    with pytest.raises(ConfigurationError, match="line 2 of") as error:
        channels(Settings(home=tmp_path, notify_file=str(file)))
    assert line not in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="NIGHTSHIFT_NOTIFY_FILE"):
        channels(Settings(home=tmp_path, notify_file=str(tmp_path / "none")))
    assert channels(Settings(home=tmp_path)) == []
