"""What kills did: kept as one JSON line each, and shown as a table."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.kill_matrix.kinds import COMPONENTS, KINDS, STAGES, cells

BYSTANDER = "none"
"""Component of a run that no kill touched."""


@dataclass(frozen=True)
class Outcome:
    """What one kill did to one run.

    Attributes:
        component: what was killed; `none` for a run that was not hit.
        stage: where the run was at that moment.
        operator: the kind of the run.
        state: the run's last state; `stuck` when it had not ended within the limit.
        tries: tries of its task.
        seconds: from the kill to the end of the run.
        doubled: times that the work ended well beyond the first.
        orphans: jobs, containers and processes left when the run had ended.
        lost: 1 if the run succeeded without its result, failed, or did not end.
        hit: the task's state at the kill.
        run_id: for the logs.
        session: folder of the bench's run.
    """

    component: str
    stage: str
    operator: str
    state: str
    tries: int
    seconds: float
    doubled: int
    orphans: int
    lost: int
    hit: str
    run_id: str
    session: str

    @property
    def clean(self) -> bool:
        """Nothing doubled, orphaned or lost."""
        return not (self.doubled or self.orphans or self.lost)


def append(path: Path, outcome: Outcome) -> None:
    """Keep one; nothing is lost if the bench dies."""
    with path.open("a") as file:
        file.write(json.dumps(asdict(outcome)) + "\n")


def read(path: Path) -> list[Outcome]:
    """All that were kept."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [Outcome(**json.loads(line)) for line in lines if line]


def counts(outcomes: list[Outcome]) -> Counter[tuple[str, str, str]]:
    """Kills of each cell."""
    return Counter((o.component, o.stage, o.operator) for o in outcomes)


def table(outcomes: list[Outcome]) -> str:
    """Markdown: one line a component and operator, then what was not hit."""
    rows: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        rows[outcome.component, outcome.operator].append(outcome)
    possible = set(cells())
    lines = [
        (
            "| killed | operator | kills: starting / waiting / ending | ended well | done twice "
            "| orphans | lost results | seconds to the end: median, worst |"
        ),
        "|---|---|---|---|---|---|---|---|",
    ]
    for component in COMPONENTS:
        for kind in KINDS:
            found = rows.get((component, kind.name), [])
            by_stage = Counter(o.stage for o in found)
            kills = " / ".join(
                str(by_stage[s]) if (component, s, kind.name) in possible else "-" for s in STAGES
            )
            if set(kills) <= {"-", "/", " "}:
                continue
            seconds = sorted(o.seconds for o in found)
            times = f"{seconds[len(seconds) // 2]:.0f}, {seconds[-1]:.0f}" if seconds else ""
            lines.append(
                f"| {component} | {kind.name} | {kills} | "
                f"{sum(o.state == 'success' for o in found)} of {len(found)} | "
                f"{sum(o.doubled for o in found)} | {sum(o.orphans for o in found)} | "
                f"{sum(o.lost for o in found)} | {times} |"
            )
    return "\n".join([*lines, "", summary(outcomes)])


def summary(outcomes: list[Outcome]) -> str:
    """The sums, and how many cells have how many kills."""
    hits = [o for o in outcomes if o.component != BYSTANDER]
    others = [o for o in outcomes if o.component == BYSTANDER]
    per_cell = counts(hits)
    full = [cell for cell in cells() if per_cell[cell] >= 5]
    empty = [cell for cell in cells() if not per_cell[cell]]
    return (
        f"{len(hits)} kills of runs in {len(cells())} cells; {len(full)} cells have 5 or more, "
        f"{len(empty)} have none. Done twice {sum(o.doubled for o in hits)}, orphans "
        f"{sum(o.orphans for o in hits)}, lost {sum(o.lost for o in hits)}. Of {len(others)} runs "
        f"that went on beside them and were not hit, {sum(not o.clean for o in others)} were harmed."
    )
