"""The model families that there are: one line each, and the modules that hold it.

A family says how a model is trained and what it is asked. Its code is the package
`tasks.<name>`: `tasks.<name>.train` is run in the night, `tasks.<name>.serving.load` gives Triton's
backend the model. Where its nights have other steps than training alone, or its requests hold
something else than named tensors, it names modules of its own. None of them is imported here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Part = Literal["experiment", "features", "module", "probability", "recommend", "refit", "score"]
"""What only some families have:

- `experiment`: past nights can be trained again with other settings;
- `features`: its inputs are features that OpenMLDB computes;
- `module`: a Python file in the pipeline's folder builds the model;
- `probability`: its one output is the probability of the label 1;
- `recommend`: items are found for a user, then ranked;
- `refit`: what passed the gates is trained once more on all judged days;
- `score`: a list of users by items can be written.
"""


@dataclass(frozen=True)
class Family:
    """One family.

    Attributes:
        name: its name in `pipeline.yaml`, in `signature.json`, and of its package below `tasks`.
        title: what it is, for the schema of `pipeline.yaml`.
        parts: what it has of what only some have.
        gates: gates that run where `pipeline.yaml` names none.
        dags: module with the Airflow tasks up to the candidate: `STEPS`, `command_lines`,
            `candidate`.
        server: module with `FAMILY`, a `predict_server.families.base.Family`.
        settings: module of `tasks` that checks its hyper-parameters before a night:
            `load(path, overrides)`, `problems(loaded, fields)`, `on_device(loaded, device)`,
            `unused(loaded)`; None where any mapping will do.
    """

    name: str
    title: str
    parts: tuple[Part, ...] = ()
    gates: tuple[str, ...] = ("rehearsal",)
    dags: str = "nightshift_provider.dags.tensor"
    server: str = "predict_server.families.tensor"
    settings: str | None = None

    def lacks(self, needed: Sequence[Part]) -> list[Part]:
        """Those of `needed` that it does not have."""
        return [part for part in needed if part not in self.parts]


FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        Family(
            "ctr",
            "features by SQL, a probability",
            ("experiment", "features", "probability", "recommend", "refit", "score"),
            ("data", "quality", "baseline", "rehearsal", "consistency"),
            dags="nightshift_provider.dags.ctr",
            server="predict_server.families.ctr",
            settings="tasks.ctr.train.needs",
        ),
        Family("tensor", "any OneFlow module", ("module",)),
    )
}
"""By name."""


def having(part: Part) -> str:
    """The families that have a part, for a message."""
    return " or ".join(name for name, family in FAMILIES.items() if part in family.parts)


DEFAULT = "ctr"
"""Family of a pipeline that names none."""

FIRST, WITHOUT_FEATURES = "ctr", "tensor"
"""The two that there were before releases recorded their family."""
