"""What a fixed-rate thread or an event loop suffers from work beside it. The method is in README.md."""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from ..clock import now
from ..engines import Engines
from . import calls
from .kernel import RunQueue
from .workers import Child, Threads

VICTIMS = ("thread", "asyncio")
PLACES = ("alone", "threads", "process")
PERIOD_NS = 2_000_000
"""Time between two beats, if not said otherwise."""
BEATS = 150
"""Beats of one measurement, if not said otherwise."""
LEAD_NS = 20_000_000
"""From the start of the workers to the first beat."""


@dataclass(frozen=True)
class Plan:
    """One point of the victim's axes."""

    victim: str
    """`thread`: sleeps until each beat is due. `asyncio`: a timer of an event loop."""
    where: str
    """Where the workers are: `alone` (there are none), `threads` of this process, or threads of another `process`."""
    workers: int
    idle: bool
    """The workers are there and parked: nothing should be found."""
    beats: int
    period_ns: int
    switch_interval_ns: int
    """`sys.setswitchinterval` during the measurement, in both processes; 0: as it is."""


class Beside:
    """The workers of a plan, under one pair of functions."""

    def __init__(self, start: Callable[[list], None], stop: Callable[[], int]) -> None:
        self.start, self.stop = start, stop


def workers(plan: Plan, op: dict, call: Callable[[Any], Any], engines: Engines) -> Beside:
    """Makes the workers, or finds those that another cell has made: the same pair and count share them.

    Raises:
        UnavailableError, CellError: the other process could not load the engine.
    """
    if plan.where == "alone":
        return Beside(lambda _items: None, lambda: 0)
    if plan.where == "threads":
        threads = _threads(plan.workers)
        start, stop = partial(threads.start, call), threads.stop
    else:
        child = _child(op, plan.workers, engines)
        start, stop = lambda items: child.start(items, sys.getswitchinterval()), child.stop
    return Beside(lambda _items: None, lambda: 0) if plan.idle else Beside(start, stop)


@cache
def _threads(count: int) -> Threads:
    return Threads(count)


_children: dict[tuple, Child] = {}


def _child(op: dict, count: int, engines: Engines) -> Child:
    key = (calls.pair(op), calls.stage(op), count, id(engines))
    if key not in _children or not _children[key].alive:
        _children[key] = Child(op, count, engines.model)
    return _children[key]


def measure(plan: Plan, beside: Beside, items: list) -> dict[str, int]:
    """The lateness of each beat, from the moment at which it was due, beside the workers.

    Beats are due at fixed times: one that comes late does not move the next, and none is left out. The net lateness is
    without the time that this thread was ready and waited for a CPU.

    Raises:
        BaseException: what a worker's call raised.
    """
    beat = _thread_beats if plan.victim == "thread" else _asyncio_beats
    switch_interval = sys.getswitchinterval()
    queue = RunQueue()
    if plan.switch_interval_ns:
        sys.setswitchinterval(plan.switch_interval_ns / 1e9)
    try:
        beside.start(items)
        try:
            start = now()
            first = start + LEAD_NS
            waited = queue.read_ns()
            seen = beat(first, plan.period_ns, plan.beats, queue.read_ns)
            end = now()
        finally:
            work_calls = beside.stop()
        used_ns = round(sys.getswitchinterval() * 1e9)
    finally:
        sys.setswitchinterval(switch_interval)
        queue.close()
    due = range(first, first + plan.beats * plan.period_ns, plan.period_ns)
    found = {"beats": len(seen), "beating_ns": end - start, "runqueue_ns": seen[-1][1] - waited}
    found |= {"work_calls": work_calls, "switch_interval_ns": used_ns}
    raw = [at - when for when, (at, _) in zip(due, seen, strict=True)]
    for name, lags in (("lag", raw), ("lag_net", net(due, seen, waited))):
        lags.sort()
        found |= {
            f"{name}_p50_ns": percentile(lags, 50),
            f"{name}_p99_ns": percentile(lags, 99),
            f"{name}_max_ns": lags[-1],
            f"{name}_mean_ns": round(sum(lags) / len(lags)),
        }
    return found


Beat = tuple[int, int]
"""When a beat came, and how long the thread had waited for a CPU until then, ns."""


def net(due: Sequence[int], seen: list[Beat], waited_before: int) -> list[int]:
    """The lateness of each beat without the waits for a CPU that may have made it late, ns.

    These are the waits since the last beat that came before this one was due. A wait that was over when the beat became
    due is among them, so that the net lateness is a lower bound.
    """
    lags = []
    known, waited = 0, waited_before
    for when, (at, waited_now) in zip(due, seen, strict=True):
        while seen[known][0] <= when:
            waited = seen[known][1]
            known += 1
        lag = at - when
        lags.append(max(0, lag - (waited_now - waited)))
    return lags


def _thread_beats(first_ns: int, period_ns: int, beats: int, waited_ns: Callable[[], int]) -> list[Beat]:
    clock, sleep = now, time.sleep
    seen = []
    for due in range(first_ns, first_ns + beats * period_ns, period_ns):
        left = due - clock()
        while left > 0:
            sleep(left / 1e9)
            left = due - clock()
        seen.append((due - left, waited_ns()))
    return seen


def _asyncio_beats(first_ns: int, period_ns: int, beats: int, waited_ns: Callable[[], int]) -> list[Beat]:
    seen: list[Beat] = []

    async def heart() -> None:
        loop = asyncio.get_running_loop()
        over = loop.create_future()
        # The loop's clock and ours may differ by a constant.
        shift = loop.time() - now() / 1e9

        def beat(due: int) -> None:
            # A loop may call a timer early, by the resolution of its clock.
            seen.append((max(now(), due), waited_ns()))
            if len(seen) == beats:
                over.set_result(None)
            else:
                following = due + period_ns
                loop.call_at(following / 1e9 + shift, beat, following)

        loop.call_at(first_ns / 1e9 + shift, beat, first_ns)
        await over

    asyncio.run(heart())
    return seen


def percentile(ordered: list[int], percent: int) -> int:
    """The smallest value that is not below `percent` percent of all (nearest rank)."""
    return ordered[-(-len(ordered) * percent // 100) - 1]
