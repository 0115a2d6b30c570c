"""Commands about live traffic: explain, forget, stream, observe."""

from __future__ import annotations

import argparse
import json
import sys

from cli.command import Command, add_pipeline, chosen
from cli.console import say
from nightshift.errors import ConfigurationError

_NEEDS = ("airflow",)


def _explain_arguments(parser: argparse.ArgumentParser) -> None:
    add_pipeline(parser)
    parser.add_argument("receipt", help="the `id` of an answer's receipt")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument(
        "--no-windows", action="store_true", help="leave out the rows of windows; ask no server"
    )


def _explain(arguments: argparse.Namespace) -> int:
    from nightshift.live import explain
    from nightshift.openmldb import OpenMLDBClient

    pipeline = chosen(arguments)
    if arguments.no_windows:
        found = explain.explain(pipeline, arguments.receipt)
    else:
        with OpenMLDBClient.of(pipeline.settings) as client:
            found = explain.explain(pipeline, arguments.receipt, client)
    say(json.dumps(found, indent=2, ensure_ascii=False) if arguments.json else explain.text(found))
    return 0


def _forget_arguments(parser: argparse.ArgumentParser) -> None:
    add_pipeline(parser)
    parser.add_argument(
        "--key", required=True, metavar="COLUMN=VALUE", help="whose rows: for example user_id=U17"
    )
    parser.add_argument(
        "--follow",
        action="append",
        default=[],
        metavar="COLUMN",
        help="a column of the request table whose values, in these requests, name rows of others",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="only count")
    parser.add_argument("--json", action="store_true", help="counts as JSON")


def _forget(arguments: argparse.Namespace) -> int:
    from nightshift.live.forget import forget
    from nightshift.openmldb import OpenMLDBClient

    column, sign, value = arguments.key.partition("=")
    if not sign or not column or not value:
        raise ConfigurationError(f"--key {arguments.key}: write it as COLUMN=VALUE")
    pipeline = chosen(arguments)
    with OpenMLDBClient.of(pipeline.settings) as client:
        counted = forget(pipeline, client, column, value, follow=arguments.follow, dry=True)
        if not arguments.json:
            for place, rows in counted.removed.items():
                say(f"  {place}: {rows} rows")
            if counted.untouched:
                say(f"  without these columns, left alone: {', '.join(counted.untouched)}")
        if arguments.dry_run:
            if arguments.json:
                say(json.dumps({"would_remove": counted.removed}, indent=2))
            return 0
        if not arguments.yes:
            if not sys.stdin.isatty():
                raise ConfigurationError("forget removes rows for good; give --yes")
            if input("Remove them for good? [y/N] ").strip().lower() != "y":
                return 1
        done = forget(pipeline, client, column, value, follow=arguments.follow)
    if arguments.json:
        say(json.dumps({"removed": done.removed, "left": done.left}, indent=2))
    else:
        say("removed; found afterwards:")
        for place, rows in done.left.items():
            say(f"  {place}: {rows} rows")
    return 0 if done.complete else 1


def _stream_arguments(parser: argparse.ArgumentParser) -> None:
    add_pipeline(parser)
    parser.add_argument("--day", required=True, metavar="YYYY-MM-DD", help="the day to play")
    parser.add_argument(
        "--speed",
        type=float,
        default=60.0,
        help="times as fast as the day (default: 60; 0: no pause)",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="stop after N rows")
    parser.add_argument("--labels", action="store_true", help="send the table of labels, too")
    parser.add_argument(
        "--late",
        action="append",
        default=[],
        metavar="SHARE:SECONDS",
        help="send a share of the events so much later, for example 0.1:3600",
    )
    parser.add_argument(
        "--loaded",
        action="store_true",
        help="play a day that a night has loaded: its events are in the store twice until the next",
    )


def _stream(arguments: argparse.Namespace) -> int:
    from nightshift import layout
    from nightshift.live.stream import loaded_already, play, timeline

    pipeline = chosen(arguments)
    late = [_late(text) for text in arguments.late]
    day = layout.parse_date(arguments.day, what="--day")
    moments = timeline(pipeline, day, labels=arguments.labels, late=late)[: arguments.limit]
    twice = {} if arguments.loaded else loaded_already(pipeline, moments)
    if twice:
        listed = ", ".join(f"{count} of {table}" for table, count in twice.items())
        raise ConfigurationError(
            f"a night has loaded {day}: events ({listed}) would be in the online store twice until "
            "the next night; play a day that no night has loaded yet, or give --loaded"
        )
    say(f"playing {len(moments)} rows of {day} at {arguments.speed:g} times their speed")
    made = play(pipeline, moments, speed=arguments.speed, said=say)
    say(
        f"{made.requests} requests answered, {made.events} events inserted, "
        f"{made.duplicates} were there already"
    )
    if made.receipts:
        say(f"the last answer: ./nightshift explain {made.receipts[-1]}")
    return 0


def _late(text: str) -> tuple[float, float]:
    share, sign, seconds = text.partition(":")
    try:
        made = float(share), float(seconds)
    except ValueError:
        made = (-1.0, 0.0)
    if not sign or not 0 <= made[0] <= 1 or made[1] < 0:
        raise ConfigurationError(f"--late {text}: write it as SHARE:SECONDS, such as 0.1:3600")
    return made


def _observe_arguments(parser: argparse.ArgumentParser) -> None:
    add_pipeline(parser)
    parser.add_argument("--from", dest="first", metavar="YYYY-MM-DD", help="first day of requests")
    parser.add_argument(
        "--to", dest="last", metavar="YYYY-MM-DD", help="last day (default: --from)"
    )
    parser.add_argument("--sample", type=int, metavar="N", help="so many requests, drawn at random")
    parser.add_argument("--json", action="store_true", help="the report as JSON")


def _observe(arguments: argparse.Namespace) -> int:
    from cli.console import warn
    from nightshift import layout
    from nightshift.live.skew import run
    from nightshift.live.skew.text import as_text

    if not arguments.first:
        raise ConfigurationError("observe needs --from YYYY-MM-DD, the first day of requests")
    first = layout.parse_date(arguments.first, what="--from")
    last = layout.parse_date(arguments.last or arguments.first, what="--to")
    if arguments.sample is not None and arguments.sample < 1:
        raise ConfigurationError(f"--sample is {arguments.sample}; give at least 1")
    pipeline = chosen(arguments)
    found = run.observe(
        pipeline, first, last, sample=arguments.sample, said=lambda text: warn(f"  {text}")
    )
    path = run.keep(pipeline, found)
    say(json.dumps(found, indent=2, ensure_ascii=False) if arguments.json else as_text(found))
    if not arguments.json:
        say(f"\nthe whole report: {path}")
    return 0 if found["status"] == "explained" else 1


COMMANDS: tuple[Command, ...] = (
    Command("explain", "show what was asked and answered", _explain, _explain_arguments, _NEEDS),
    Command("forget", "remove a person's rows, and prove it", _forget, _forget_arguments, _NEEDS),
    Command(
        "observe", "compare what was served with training", _observe, _observe_arguments, _NEEDS
    ),
    Command("stream", "play a day as live traffic", _stream, _stream_arguments, _NEEDS),
)
