"""Plain text for a person at a terminal or a reader of a log."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path


def say(text: str = "") -> None:
    """Write one line to standard output, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def warn(text: str) -> None:
    """Write one line to standard error, at once."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def seconds(value: float) -> str:
    """A duration: `0.4 s`, `12 s`, `3 min 05 s`."""
    if value < 9.95:
        return f"{value:.1f} s"
    if value < 99.5:
        return f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned columns, two spaces apart, without trailing blanks."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a file, indented; a note where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 200 * lines))
            text = file.read().decode(errors="replace")
    except OSError:
        return f"    (no {log})"
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])


@contextlib.contextmanager
def progress(title: str, detail: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Show that a step goes on, and how long it took when it ends.

    A terminal sees one line that counts the seconds; a log sees a line every 15 seconds.

    Args:
        title: what the step does.
        detail: a short text about what it does just now.
    """
    began = time.monotonic()
    done = threading.Event()
    terminal = sys.stdout.isatty()

    def tick() -> None:
        while not done.wait(0.5 if terminal else 15.0):
            text = f"  {title} ... {seconds(time.monotonic() - began)}  {detail()}"
            if terminal:
                sys.stdout.write(f"\r\x1b[K{text[:118]}")
                sys.stdout.flush()
            else:
                say(text.rstrip())

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    outcome = "failed after"
    try:
        yield
        outcome = "done in"
    finally:
        done.set()
        thread.join()
        if terminal:
            sys.stdout.write("\r\x1b[K")
        say(f"  {title}: {outcome} {seconds(time.monotonic() - began)}")
