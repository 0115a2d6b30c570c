"""The gates that there are: one line each, and the module that holds its check.

A check takes the night and the candidate's id (None before there is a candidate) and returns a
report of `nightshift.gates.base.report`. A pipeline names the gates that it runs in
`pipeline.yaml`, under `gates_run`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from nightshift.config.yamlfile import nearest
from nightshift.errors import ConfigurationError
from nightshift.families import Part

if TYPE_CHECKING:
    from nightshift.night import Night

Check = Callable[["Night", "str | None"], dict[str, Any]]
Stage = Literal["data", "scored", "loaded"]


@dataclass(frozen=True)
class Gate:
    """One gate.

    Attributes:
        name: its name in `gates.yaml`, in `gates_run`, and of its report.
        module: where its function `check` lies.
        stage: what must be there before it: `data`, the data card; `scored`, the held-out rows'
            scores; `loaded`, the candidate beside the live release.
        needs: what it takes of a pipeline's family; empty: it can judge every one.
        title: one line for Airflow's UI.
    """

    name: str
    module: str
    stage: Stage
    needs: tuple[Part, ...]
    title: str


GATES: Mapping[str, Gate] = {
    gate.name: gate
    for gate in (
        Gate(
            "data",
            "nightshift.gates.data",
            "data",
            ("features",),
            "Bounds, schema and drift of the data. A breach ends the night here.",
        ),
        Gate(
            "quality",
            "nightshift.gates.quality",
            "scored",
            ("probability",),
            "Challenger and champion on the same held-out rows.",
        ),
        Gate(
            "baseline",
            "nightshift.gates.baseline",
            "scored",
            ("probability",),
            "Challenger and a logistic regression on the same held-out rows.",
        ),
        Gate(
            "recommend",
            "nightshift.gates.recommend",
            "scored",
            ("recommend",),
            "What retrieval finds of the held-out days, against the most popular items.",
        ),
        Gate(
            "rehearsal",
            "nightshift.gates.rehearsal",
            "loaded",
            (),
            "Load the model beside the live one: golden examples, calls of the new pair.",
        ),
        Gate(
            "consistency",
            "nightshift.gates.parity",
            "loaded",
            ("features", "probability"),
            "Held-out requests replayed online: ids and scores equal to the offline ones.",
        ),
    )
}


def find(name: str) -> Gate:
    """A gate by its name.

    Raises:
        ConfigurationError: there is none.
    """
    if name not in GATES:
        raise ConfigurationError(f"there is no gate {name!r}{nearest(name, GATES)}")
    return GATES[name]


def check(name: str, night: Night, release: str | None) -> dict[str, Any]:
    """Ask one gate.

    Raises:
        ConfigurationError: there is no such gate.
    """
    function: Check = importlib.import_module(find(name).module).check
    return function(night, release)
