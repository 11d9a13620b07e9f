"""The probes: operations that look at what another operation's calls do to the GIL. README.md has the method.

Both are timed as `each`: one call is one whole measurement over many calls of the probed pair, and what it found is in
the sample's `stages`. A call on a warm-up request is one plain call of the pair.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..engines import Engines
from ..errors import CellError
from ..inputs import Inputs
from ..ops import Operation
from . import calls, hold, victim

ITEMS = 64
"""Requests that one measurement cycles through, at most."""


@dataclass(frozen=True)
class Task:
    """The input of one measurement: the inputs of the calls, and whether to measure them or only to make one."""

    items: list
    warm: bool


@dataclass(frozen=True)
class Found:
    """What a measurement found, and the result of one of the calls, for the check."""

    stages: dict[str, int]
    result: Any


def make(op: dict, inputs: Inputs, engines: Engines) -> Operation:
    """The operation `hold` or `victim` on the pair that the request's `op` names.

    Raises:
        UnavailableError: the pair is not known here, or the probe cannot run here.
        CellError: a parameter is missing or wrong, or the engine did not load.
    """
    params = op.get("params") or {}
    probed = calls.operation(op, inputs, engines)
    measure = (_hold if op["name"] == "hold" else _victim)(op, params, probed, engines)

    def call(task: Task) -> Found:
        if task.warm:
            return Found({}, probed.call(task.items[0]))
        return measure(task.items)

    def item(index: int) -> Task:
        warm = index >= inputs.pool
        indices = [index] if warm else inputs.following(index, min(inputs.pool, ITEMS))
        return Task([probed.item(each) for each in indices], warm)

    return Operation(
        call=call,
        item=item,
        digest=lambda found: probed.digest(found.result),
        dump=lambda found: probed.dump(found.result),
        stages=lambda found: found.stages,
        eager=False,
    )


def _hold(_op: dict, params: dict, probed: Operation, _engines: Engines) -> Callable[[list], Found]:
    window_ns = _scaled(params, "window_ms", hold.WINDOW_NS, 1_000_000)
    interval_ns = _scaled(params, "interval_us", hold.INTERVAL_NS, 1_000)
    hold.helper()  # compiles now, and not in the first block

    def measure(items: list) -> Found:
        found = hold.measure(probed.call, items, window_ns, interval_ns)
        return Found(found.stages, found.result)

    return measure


def _victim(op: dict, params: dict, probed: Operation, engines: Engines) -> Callable[[list], Found]:
    plan = victim.Plan(
        victim=_one_of(params, "victim", victim.VICTIMS),
        where=_one_of(params, "where", victim.PLACES),
        workers=_scaled(params, "workers", 1, 1),
        idle=params.get("idle") is True,
        beats=_scaled(params, "beats", victim.BEATS, 1),
        period_ns=_scaled(params, "period_us", victim.PERIOD_NS, 1_000),
        switch_interval_ns=_scaled(params, "switch_interval_us", 0, 1_000),
    )
    workers = victim.workers(plan, op, probed.call, engines)

    def measure(items: list) -> Found:
        return Found(victim.measure(plan, workers, items), probed.call(items[0]))

    return measure


def _scaled(params: dict, name: str, default: int, scale: int) -> int:
    """The parameter times `scale`, as a whole number; `default`, which is scaled already, where it is not given."""
    value = params.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or round(value * scale) < 1:
        raise CellError(f"the probe's {name} must be a positive number, not {value!r}")
    return round(value * scale)


def _one_of(params: dict, name: str, known: tuple[str, ...]) -> str:
    value = params.get(name, known[0])
    if value not in known:
        raise CellError(f"the probe's {name} must be one of {', '.join(known)}, not {value!r}")
    return value
