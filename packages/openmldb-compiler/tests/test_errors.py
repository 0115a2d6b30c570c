"""What a caller can catch: one root, and each cause apart, also from the package itself."""

import openmldb_compiler
import pytest
from openmldb_compiler import errors, wheel

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, Exception) and kind is not errors.CompilerError
]


def test_there_are_some():
    assert {kind.__name__ for kind in KINDS} == {
        "CompilerUnavailable", "CompilerCrashed", "CompilerTimeout",
    }  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_caught_as_the_root_and_as_no_other(kind):
    assert getattr(openmldb_compiler, kind.__name__) is kind
    with pytest.raises(openmldb_compiler.CompilerError, match="why"):
        raise kind("why")
    assert [other for other in KINDS if issubclass(kind, other)] == [kind]


def test_a_machine_without_the_compiler_raises_what_the_reason_says(monkeypatch):
    monkeypatch.setattr(wheel.platform, "machine", lambda: "riscv64")
    reason = openmldb_compiler.unavailable_reason()
    assert reason
    with pytest.raises(errors.CompilerError) as raised:
        wheel.native_folder()
    assert str(raised.value) == reason
