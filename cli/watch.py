"""What goes wrong, and who is told: incidents, targets, the heartbeat."""

from __future__ import annotations

import argparse
import getpass
import json
import time
from dataclasses import asdict

from cli.command import Command, add_pipeline, chosen
from cli.console import say, table, warn
from nightshift.errors import ConfigurationError
from nightshift.settings import Settings

_NEEDS = ("airflow",)


def _watch_arguments(parser: argparse.ArgumentParser) -> None:
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        "--every",
        type=float,
        metavar="SECONDS",
        help="look again and again, outside of Airflow; sees Airflow's death, too",
    )
    either.add_argument(
        "--max-age",
        type=float,
        metavar="SECONDS",
        help="do not look; fail if the last look of nightshift_watch is older (for a monitor)",
    )


def _watch(arguments: argparse.Namespace) -> int:
    from nightshift import watch

    settings = Settings.from_env()
    if arguments.max_age is not None:
        age = watch.heartbeat_age_s(settings)
        say(f"the last look is {age:.0f} s old")
        if age > arguments.max_age:
            warn(f"nightshift: older than {arguments.max_age:g} s: is Airflow down?")
        return int(age > arguments.max_age)
    while arguments.every is not None:
        seen = watch.look(settings)
        for text in (*seen.new, *seen.problems):
            say(f"{seen.at}  {text}")
        time.sleep(max(1.0, arguments.every))
    seen = watch.look(settings)
    for label, texts in (("new", seen.new), ("open", seen.open), ("problem", seen.problems)):
        for text in texts:
            say(f"{label:<8}{text}")
    if not (seen.new or seen.open or seen.problems):
        say("nothing is wrong")
    return int(bool(seen.open or seen.problems))


def _incidents_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON array instead of a table")


def _incidents(arguments: argparse.Namespace) -> int:
    from nightshift.notify import incidents

    found = incidents.listed(Settings.from_env())
    if arguments.json:
        say(json.dumps([asdict(record) for record in found], indent=2, ensure_ascii=False))
        return 0
    if not found:
        say("no incident is known")
        return 0
    rows = []
    for record in found:
        told = sum(name != "nobody" for name in record.delivered)
        state = f"told {told}" + (f", failed {len(record.failures)}" if record.failures else "")
        until = record.closed_at or "open"
        rows.append(
            (record.opened_at, "" if until == record.opened_at else until,
             record.incident.severity, record.incident.title, state)
        )  # fmt: skip
    say(table(("since", "until", "severity", "incident", "targets"), rows))
    for record in found:
        for target, why in record.failures.items():
            say(f"  {target}: {why}")
    return 0


def _notify(arguments: argparse.Namespace) -> int:
    from nightshift.notify.channels import VARIABLE, channels

    targets = channels(Settings.from_env())
    if not targets:
        raise ConfigurationError(
            f"no target: {VARIABLE} names no file, or the file no target; docs/monitoring.md"
        )
    failed = 0
    for target in targets:
        why = target.send(
            title="Nightshift: a test",
            text="This target will be told of failed nights, late releases and full disks.",
            severity="info",
        )
        tags = f" ({', '.join(sorted(target.tags))})" if target.tags else ""
        say(f"{target.shown}{tags}: {'sent' if why is None else why}")
        failed += why is not None
    return int(failed > 0)


def _quality_arguments(parser: argparse.ArgumentParser) -> None:
    add_pipeline(parser)
    parser.add_argument("--json", action="store_true", help="the whole report as JSON")


def _quality(arguments: argparse.Namespace) -> int:
    from nightshift.monitoring import contests, served

    pipeline = chosen(arguments)
    value = served.measure(pipeline)
    value["contests"] = [judge.report() for judge in contests.look(pipeline)]
    value["warnings"] += [text for one in value["contests"] for text in one["reasons"]]
    if arguments.json:
        say(json.dumps(value, indent=2, ensure_ascii=False))
        return int(bool(value["warnings"]))
    if not value["rows"]:
        say("the request log holds no recent answer")
    else:
        names = ("day", "release", "rows", "judged", "positives", "auc", "expected_auc",
                 "logloss", "calibration_ratio")  # fmt: skip
        rows = [tuple("-" if one[n] is None else str(one[n]) for n in names)
                for one in value["days"]]  # fmt: skip
        say(table(names, rows))
    for one in value["contests"]:
        say(
            f"{one['new']} against {one['old']}: {one['rows']} rows, {one['positives']} positives, "
            f"AUC lost {one['auc_lost']:+.4f}, evidence {one['evidence']:.3g} of {one['needed']:.3g}"
        )
    for text in value["warnings"]:
        say(f"warning  {text}")
    return int(bool(value["warnings"]))


def _canary_arguments(parser: argparse.ArgumentParser) -> None:
    add_pipeline(parser)
    parser.add_argument("release", nargs="?", metavar="RELEASE", help="begin one with this release")
    parser.add_argument(
        "--share", type=float, help="of the users, between 0 and 1 (default: live.canary.share)"
    )
    parser.add_argument(
        "--column", help="of the request table: who a user is (default: live.canary.column)"
    )
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--promote", action="store_true", help="give it all users")
    either.add_argument("--withdraw", action="store_true", help="give its users back")


def _canary(arguments: argparse.Namespace) -> int:
    from nightshift.night import servers
    from nightshift.registry.pointer import end_canary, read_live
    from nightshift.release import canary

    pipeline = chosen(arguments)
    if arguments.release and (arguments.promote or arguments.withdraw):
        raise ConfigurationError("RELEASE begins a canary; --promote and --withdraw end the one")
    actor = getpass.getuser()
    if arguments.release:
        with servers(pipeline.settings) as both:
            canary.begin(
                both, pipeline, arguments.release, share=arguments.share, column=arguments.column,
                actor=actor,
            )  # fmt: skip
    live = read_live(pipeline.releases)
    if live is None or live.canary is None:
        say("there is no canary")
        return int(arguments.promote or arguments.withdraw)
    part = live.canary
    if arguments.promote:
        value = canary.promote_due(pipeline, actor=actor)
        say(f"{value['live']} serves all users; {live.release_id} served before")
    elif arguments.withdraw:
        reason = f"withdrawn by {actor}"
        end_canary(pipeline.releases, part.pair.release_id, reason=reason, actor=actor)
        say(f"{live.release_id} serves all users again")
    else:
        say(
            f"{part.pair.release_id} answers {part.share:.3g} of the users by {part.column} since "
            f"{part.since}; {live.release_id} answers the others"
        )
    return 0


COMMANDS: tuple[Command, ...] = (
    Command("watch", "look for what is wrong, and tell it", _watch, _watch_arguments, _NEEDS),
    Command("quality", "measure what was served against the labels since", _quality,
            _quality_arguments, _NEEDS),
    Command("canary", "give a release a share of the users, all of them, or none", _canary,
            _canary_arguments, _NEEDS),
    Command("incidents", "list what went wrong, and who was told", _incidents,
            _incidents_arguments, _NEEDS),
    Command("notify", "send a test message to every target", _notify, needs=_NEEDS),
)  # fmt: skip
