"""Which thread each operator of a compiled step runs in, and in which order.

OneFlow runs an operator on a CPU as soon as its inputs are there, in the thread that it was given
when the graph was compiled; it gives them out in turn, whatever they take and need. Here they are
laid out beforehand: by list scheduling, the operator with the longest way to the step's end first,
each where it can begin soonest (Topcuoglu, Hariri and Wu 2002, "Performance-Effective and
Low-Complexity Task Scheduling for Heterogeneous Computing"). The operators and what they compute
stay the same, so the layout does not change a bit of a result.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from oneflow.core.job import job_pb2

_FLOPS_A_US = 90e3
_BYTES_A_US = 25e3
_COPIED_BYTES_A_US = 12e3
_SUMMED_BYTES_A_US = 5e3
_LEAST_US = 3.0
_TABLE_ROW_US, _TABLE_VALUE_US, _UPDATED_VALUE_US = 0.015, 0.004, 0.006
_NARROW = 32

_COPIES = {"concat", "split_like", "slice", "slice_grad", "narrow", "narrow_grad"}
_VIEWS = {"reshape", "constant", "expand_dims", "squeeze"}


@dataclass(frozen=True)
class Operator:
    """An operator of a step.

    Attributes:
        name: its name.
        microseconds: about what it takes, on one core.
        needs: names of the operators that have to come before it.
    """

    name: str
    microseconds: float
    needs: tuple[str, ...]


def laid_out(serialized: bytes, streams: int) -> bytes:
    """A compiled graph's job with its operators laid out over threads.

    Args:
        serialized: the job after OneFlow's passes, as `CNNGraph.job` gives it.
        streams: number of threads.
    """
    job = job_pb2.Job.FromString(serialized)
    named = {each.name: each for each in job.net.op}
    for at, stream in enumerate(schedule(operators(job), streams)):
        for name in stream:
            named[name].stream_name_hint = f"step-{at}"
        # Or an operator that is ready early would keep a more urgent one waiting.
        for before, after in itertools.pairwise(stream):
            named[after].ctrl_in_op_name.append(before)
    changed: bytes = job.SerializeToString()
    return changed


def schedule(operators: Sequence[Operator], streams: int) -> list[list[str]]:
    """The names of the operators of each thread, in order.

    Args:
        operators: all of a step; what one needs may come after it.
        streams: number of threads.
    """
    known = {each.name: each for each in operators}
    way = _to_the_end(known)
    urgent = sorted(known, key=lambda name: (-way[name], name))
    placed: list[list[str]] = [[] for _ in range(streams)]
    free = [0.0] * streams
    ends: dict[str, tuple[float, int]] = {}
    for name in urgent:
        needed = [ends[other] for other in known[name].needs]
        ready = max((end for end, _ in needed), default=0.0)

        def choice(stream: int, ready: float = ready, needed: Any = needed) -> tuple[float, int]:
            return max(ready, free[stream]), -sum(where == stream for _, where in needed)

        best = min(range(streams), key=choice)
        free[best] = choice(best)[0] + known[name].microseconds
        ends[name] = free[best], best
        placed[best].append(name)
    return placed


def _to_the_end(known: Mapping[str, Operator]) -> dict[str, float]:
    """Microseconds of the longest way from the begin of each operator to the end of the step."""
    users: dict[str, list[str]] = {name: [] for name in known}
    waits = dict.fromkeys(known, 0)
    for name, each in known.items():
        for other in each.needs:
            users[other].append(name)
            waits[other] += 1
    found: dict[str, float] = {}
    last = [name for name, count in waits.items() if not count]
    while last:
        name = last.pop()
        after = max((found[user] for user in users[name]), default=0.0)
        found[name] = after + known[name].microseconds
        for other in known[name].needs:
            waits[other] -= 1
            if not waits[other]:
                last.append(other)
    return found


def operators(job: Any) -> list[Operator]:
    """The operators of a job that compute, with what they need and about how long they take.

    A step of an optimizer needs whatever reads the parameter before it is changed.
    """
    users = [each for each in job.net.op if each.WhichOneof("op_type") == "user_conf"]
    makers = {out: each.name for each in users for out in _names(each.user_conf.output)}
    parameters = {f"{each.name}/out" for each in job.net.op if each.HasField("variable_conf")}
    readers: dict[str, list[str]] = {}
    for each in users:
        if not _updates(each):
            for name in parameters.intersection(_names(each.user_conf.input)):
                readers.setdefault(name, []).append(each.name)
    found = []
    for each in users:
        given = _names(each.user_conf.input)
        needs = {makers[name] for name in given if name in makers}
        if _updates(each):
            needs |= {other for name in given for other in readers.get(name, ())}
        found.append(Operator(each.name, _microseconds(job, each), tuple(sorted(needs))))
    return found


def _updates(operator: Any) -> bool:
    kind: str = operator.user_conf.op_type_name
    return kind.endswith("_update") or kind == "assign"


def _names(arguments: Any) -> list[str]:
    return [name for key in sorted(arguments) for name in arguments[key].s]


def _microseconds(job: Any, operator: Any) -> float:
    """About what an operator takes on one core of a server, from its shapes alone.

    Only the order of magnitude counts, and that it is the same in every run.
    """
    conf = operator.user_conf
    kind: str = conf.op_type_name
    given, made = _sizes(job, conf.input), _sizes(job, conf.output)
    moved = 4.0 * (sum(given.values()) + sum(made.values()))
    if kind in _VIEWS:
        took = 0.0
    elif kind == "matmul":
        took = _product([*given.values(), *made.values()], moved)
    elif kind.startswith("indexed_slices_"):
        looked_up, values = given["model_diff_indices"], given["model_diff_values"]
        took = _TABLE_ROW_US * looked_up + _TABLE_VALUE_US * values
    elif kind.endswith("_update"):
        took = _UPDATED_VALUE_US * max(given.values(), default=0)
    elif kind == "gather":
        # Not the whole of the table.
        took = 8.0 * sum(made.values()) / _COPIED_BYTES_A_US
    elif kind.startswith("reduce_"):
        took = moved / _SUMMED_BYTES_A_US
    else:
        took = moved / (_COPIED_BYTES_A_US if kind in _COPIES else _BYTES_A_US)
    return _LEAST_US + took


def _sizes(job: Any, arguments: Any) -> dict[str, int]:
    """Values of an operator's inputs or outputs, by the arguments' names."""
    known = job.helper.lbn2logical_blob_desc
    return {
        key: sum(math.prod(known[name].shape.dim) for name in arguments[key].s if name in known)
        for key in sorted(arguments)
    }


def _product(sizes: Sequence[int], moved: float) -> float:
    """Of a product of [m, n] by [n, k]; a narrow one is bound by the memory."""
    whole = math.sqrt(math.prod(sizes[:3]))
    flops = 2.0 * whole / _FLOPS_A_US
    if any(size and whole / size < _NARROW for size in sizes[:3]):
        return max(moved / _SUMMED_BYTES_A_US, flops)
    return flops
