"""The four ways in which a block is timed. Nothing here knows what it calls.

A call is `call(item)`: the function is bound and the items are in a list before the first stamp, so that between the
stamps there are only the turns of the loop and the calls. A result lives until the next call has returned, and the last
one is freed before the closing stamp: freeing belongs to the call, as in production.
"""

import gc
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import cycle, islice

from .clock import now

Call = Callable[[object], object]


@dataclass
class Sample:
    """One measurement, in nanoseconds of CLOCK_MONOTONIC."""

    start_ns: int
    end_ns: int
    calls: int
    gc: int
    stages: dict[str, int] = field(default_factory=dict)
    threads: list[dict[str, int]] = field(default_factory=list)


def collections() -> int:
    """Collections of the cyclic garbage collector so far, over all generations."""
    return sum(generation["collections"] for generation in gc.get_stats())


def time_loop(call: Call, items: list, loops: int) -> Sample:
    """`loops` calls back to back under one pair of stamps, cycling through `items`."""
    clock = now
    turns = islice(cycle(items), loops)
    before = collections()
    start = clock()
    for item in turns:
        result = call(item)
    result = None  # noqa: F841 - frees the last result before the closing stamp
    end = clock()
    return Sample(start, end, loops, collections() - before)


def time_each(call: Call, items: list, loops: int, stages: Callable[[object], dict[str, int]]) -> list[Sample]:
    """`loops` samples of one call each. `stages` takes from a result what it says about its stages."""
    clock = now
    samples = []
    for item in islice(cycle(items), loops):
        before = collections()
        start = clock()
        result = call(item)
        end = clock()
        samples.append(Sample(start, end, 1, collections() - before, stages(result)))
    return samples


def time_first(call: Call, item: object) -> tuple[Sample, object]:
    """One call, and its result for the check; freeing it is not in the time."""
    clock = now
    before = collections()
    start = clock()
    result = call(item)
    end = clock()
    return Sample(start, end, 1, collections() - before), result


def call_for(call: Call, items: Callable[[], object], duration_ns: int) -> int:
    """Untimed calls, at least one and until they took `duration_ns` together; returns how long they took.

    `items` gives the next item; what that takes does not count.
    """
    spent = 0
    while True:
        item = items()
        start = now()
        result = call(item)
        result = None  # noqa: F841
        spent += now() - start
        if spent >= duration_ns:
            return spent


class WindowThreads:
    """Threads that live as long as the worker and wait at a barrier between windows."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._task: Callable[[int], object] | None = None
        self._results: list[object] = [None] * count
        self._start = threading.Barrier(count + 1)
        self._end = threading.Barrier(count + 1)
        for index in range(count):
            threading.Thread(target=self._live, args=(index,), name=f"window-{index}", daemon=True).start()

    def time(self, call: Call, items: list[list], window_ns: int) -> Sample:
        """One window: thread `t` cycles through `items[t]` until its own clock has passed the window.

        No call is cut off: each thread finishes the call that it is in when the window ends, and its time ends there.

        Raises:
            BaseException: what a call raised in a thread.
        """
        before = collections()
        threads = self._run(lambda index: self._count(call, cycle(items[index]), window_ns))
        return Sample(
            start_ns=min(thread["start_ns"] for thread in threads),
            end_ns=max(thread["end_ns"] for thread in threads),
            calls=sum(thread["calls"] for thread in threads),
            gc=collections() - before,
            threads=threads,
        )

    def warm(self, call: Call, items: Callable[[], object], duration_ns: int) -> int:
        """`call_for` in every thread, one after the other; returns how long the calls of all took.

        An engine may keep a cache for each thread, and threads that waited for each other would fill theirs less.

        Raises:
            BaseException: what a call raised in a thread.
        """
        alone = threading.Lock()

        def task(_index: int) -> int:
            with alone:
                return call_for(call, items, duration_ns)

        return sum(self._run(task))

    def _run(self, task: Callable[[int], object]) -> list:
        """What `task` returns in each thread, once all have returned."""
        self._task = task
        self._start.wait()
        self._end.wait()
        self._task = None
        for result in self._results:
            if isinstance(result, BaseException):
                raise result
        return list(self._results)

    def _live(self, index: int) -> None:
        while True:
            self._start.wait()
            try:
                self._results[index] = self._task(index)
            except BaseException as error:  # a panic of an extension is no Exception; the main thread raises it again
                self._results[index] = error
            self._end.wait()

    @staticmethod
    def _count(call: Call, items: cycle, window_ns: int) -> dict[str, int]:
        clock = now
        calls = 0
        start = end = clock()
        deadline = start + window_ns
        for item in items:
            result = call(item)
            result = None  # noqa: F841 - frees the result before the stamp
            calls += 1
            end = clock()
            if end >= deadline:
                break
        return {"start_ns": start, "end_ns": end, "calls": calls}
