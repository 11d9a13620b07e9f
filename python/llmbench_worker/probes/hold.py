"""The share of a call's time in which it holds the GIL, estimated twice. The method is in README.md.

Contended: a second thread asks for the lock at random moments, and counts how often it finds it held by the calls.
Interposed: nobody else wants the lock, and the extension's own calls that release and re-acquire it are timed.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

from .. import facts
from ..clock import now
from .native import Helper, Samples, Stretch, helper

WINDOW_NS = 500_000_000
"""How long the calls of one phase take together, if not said otherwise."""

INTERVAL_NS = 1_000_000
"""Mean gap between two points of the contended probe, if not said otherwise."""

SWITCH_INTERVAL_S = 50e-6
"""`sys.setswitchinterval` while the contended probe runs: how soon the interpreter is asked to hand the lock to it.

Below about 20 µs the wait for the lock turns into a spin, and the probe no longer sees that it is held.
"""

ROUNDS = 2
"""Rounds of the three phases in one measurement; every other round runs them backwards."""


@dataclass(frozen=True)
class Hold:
    """One measurement. `stages` are totals over `stages["calls"]` calls, ns where the name says so."""

    stages: dict[str, int]
    result: Any
    """What the first call returned, for the check."""

    def contended(self) -> float | None:
        """The share by the contended probe; None if it had no point."""
        held = self.stages.get("held_contended_ns")
        return None if held is None else held / self.stages["call_ns"]

    def interposed(self) -> float | None:
        """The share by the interposed calls; None where there is no such estimate."""
        held = self.stages.get("held_interposed_ns")
        return None if held is None else held / self.stages["call_interposed_ns"]


def measure(
    call: Callable[[Any], Any], items: list, window_ns: int = WINDOW_NS, interval_ns: int = INTERVAL_NS
) -> Hold:
    """Measures the calls `call(item)`, cycling through `items`, at least `ROUNDS` of them in each of the three phases.

    Raises:
        UnavailableError: the probe cannot run here; the message says why.
        BaseException: what a call raised.
    """
    library = helper()
    result = call(items[0])
    calls = max(1, _calls_in(call, items, window_ns // 8) * 8 // ROUNDS)
    totals: dict[str, int] = {}
    phases = [_alone, _contended]
    if facts.gil() == "enabled":
        phases.insert(1, _interposed)
    for number in range(ROUNDS):
        for phase in phases[:: -1 if number % 2 else 1]:
            for name, value in phase(library, call, items, calls, interval_ns).items():
                totals[name] = totals.get(name, 0) + value
    totals["calls"] = calls * ROUNDS
    if "slots" in totals:
        totals["slots"] //= ROUNDS
    points = totals["points_held"] + totals["points_free"]
    if points:
        totals["held_contended_ns"] = round(totals["call_ns"] * totals["points_held"] / points)
    return Hold(totals, result)


def _calls_in(call: Callable, items: list, window_ns: int) -> int:
    deadline = now() + window_ns
    for count, item in enumerate(cycle(items), 1):  # noqa: B007 - used after the loop
        call(item)
        if now() >= deadline:
            break
    return count


def _run(library: Helper, call: Callable, items: list, calls: int) -> Stretch:
    """The measured stretch: that many calls and nothing else."""
    stretch = Stretch()
    turns = islice(cycle(items), calls)
    library.held.gil_begin()
    for item in turns:
        result = call(item)
    result = None  # noqa: F841 - freeing belongs to the call
    library.held.gil_end(stretch)
    return stretch


def _alone(library: Helper, call: Callable, items: list, calls: int, _interval_ns: int) -> dict[str, int]:
    """The calls without any probe: what the probes' own disturbance is measured against."""
    stretch = _run(library, call, items, calls)
    return {"call_alone_ns": stretch.end_ns - stretch.start_ns, "runqueue_alone_ns": stretch.runqueue_ns}


def _interposed(library: Helper, call: Callable, items: list, calls: int, _interval_ns: int) -> dict[str, int]:
    slots = library.held.gil_hook()
    try:
        stretch = _run(library, call, items, calls)
    finally:
        library.held.gil_unhook()
    wall = stretch.end_ns - stretch.start_ns
    net = max(wall - stretch.runqueue_ns - stretch.own_ns, 1)
    found = {
        "call_interposed_ns": net,
        "runqueue_interposed_ns": stretch.runqueue_ns,
        "foreign_held_ns": stretch.foreign_ns,
        "releases": stretch.releases,
        "slots": slots,
    }
    if slots:
        found["held_interposed_ns"] = max(net - stretch.released_ns, 0)
    return found


def _contended(library: Helper, call: Callable, items: list, calls: int, interval_ns: int) -> dict[str, int]:
    with _sampler(library, interval_ns) as samples:
        stretch = _run(library, call, items, calls)
    return {
        "call_ns": stretch.end_ns - stretch.start_ns,
        "runqueue_ns": stretch.runqueue_ns,
        "points_held": samples.held,
        "points_free": samples.free,
        "probe_count": samples.probes,
        "probe_naps": samples.naps,
        "probe_wait_ns": samples.wait_ns,
        "probe_cpu_ns": samples.cpu_ns,
        "probe_runqueue_ns": samples.runqueue_ns,
    }


@contextmanager
def _sampler(library: Helper, interval_ns: int) -> Iterator[Samples]:
    """A thread that samples the lock inside the block; what it saw is filled in at the end of the block."""
    samples = Samples()
    thread = threading.Thread(
        target=library.released.gil_sample, args=(interval_ns, now(), samples), name="gil-probe", daemon=True
    )
    switch_interval = sys.getswitchinterval()
    thread.start()
    try:
        while thread.is_alive() and not library.held.gil_sampling():
            time.sleep(0.0005)
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        yield samples
    finally:
        library.held.gil_stop()
        thread.join()
        sys.setswitchinterval(switch_interval)
