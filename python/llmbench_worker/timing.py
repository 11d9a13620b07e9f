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


def between(start_ns: int, end_ns: int, began: int, ends: list[int]) -> float:
    """What calls that ended at `ends`, back to back from `began` on, come to between two stamps, all in ns.

    A thread that waits for the GIL at an edge would gain by that wait if only its completed calls and the time up to
    them counted: two threads and a window of 40 ms came to 1.1 times what the lock lets through.
    """
    calls = 0.0
    for end in ends:
        inside = min(end, end_ns) - max(began, start_ns)
        if inside > 0:
            calls += inside / (end - began)
        began = end
    return calls


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

    def time(self, calls: list[Call], items: list[list], window_ns: int) -> Sample:
        """One window: thread `t` makes `calls[t]`, cycling through `items[t]`.

        It begins when the last thread has begun, and each thread goes on until it is over. A call that
        reaches over an edge counts with the share of its time that lies inside.

        Raises:
            BaseException: what a call raised in a thread.
        """
        before = collections()
        begun: list[int] = []
        stamps = self._run(lambda index: self._call_on(calls[index], cycle(items[index]), window_ns, begun))
        start = max(begun)
        return Sample(
            start_ns=min(begun),
            end_ns=max(ends[-1] for _began, ends in stamps),
            calls=sum(len(ends) for _began, ends in stamps),
            gc=collections() - before,
            threads=[
                {"start_ns": start, "end_ns": start + window_ns, "calls": between(start, start + window_ns, *thread)}
                for thread in stamps
            ],
        )

    def warm(self, calls: list[Call], items: Callable[[], object], duration_ns: int) -> int:
        """`call_for` in every thread with its own of `calls`, one after the other; returns how long all took.

        An engine may keep a cache for each thread, and threads that waited for each other would fill theirs less.

        Raises:
            BaseException: what a call raised in a thread.
        """
        alone = threading.Lock()

        def task(index: int) -> int:
            with alone:
                return call_for(calls[index], items, duration_ns)

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

    def _call_on(self, call: Call, items: cycle, window_ns: int, begun: list[int]) -> tuple[int, list[int]]:
        """When the thread began, and when each of its calls ended."""
        clock = now
        ends = []
        over = None
        began = clock()
        begun.append(began)
        for item in items:
            result = call(item)
            result = None  # noqa: F841 - frees the result before the stamp
            end = clock()
            ends.append(end)
            if over is None and len(begun) == self.count:
                over = max(begun) + window_ns
            if over is not None and end >= over:
                break
        return began, ends
