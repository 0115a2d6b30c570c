"""Pages that people see: nothing of a request or a path becomes markup."""

from predict_server import documentation


def test_the_page_without_a_release_names_commands_that_can_be_copied():
    page = documentation.no_release("ads", "live.json is not there").decode()
    for command in ("run", "releases", "rollback"):
        assert f"./nightshift {command} --pipeline ads" in page
    assert "$" not in page


def test_what_the_server_says_is_text():
    page = documentation.no_release("ads", "<script>alert(1)</script> & $problem").decode()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; $problem" in page


def test_only_files_of_swagger_ui_are_assets():
    found = documentation.asset("swagger-ui.css")
    assert found is not None
    assert found[1] == "text/css"
    assert documentation.asset("../__init__.py") is None
    assert documentation.asset("__init__.py") is None
