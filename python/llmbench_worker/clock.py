"""The clock, what it costs, and when this process was started.

`time.perf_counter_ns` reads CLOCK_MONOTONIC on Linux (and mach_absolute_time on macOS): one clock for all processes,
the same that the native worker reads.
"""

import os
import time
from itertools import cycle, islice
from statistics import median

now = time.perf_counter_ns
"""Nanoseconds of CLOCK_MONOTONIC."""

IMPORTED = now()
"""When this module was imported, a few milliseconds after the start of the process."""

REPEATS = 200
TURNS = 1000


def pair_ns() -> int:
    """Median cost of a pair of clock readings, ns."""
    clock = now
    costs = []
    for _ in range(REPEATS * 5):
        start = clock()
        end = clock()
        costs.append(end - start)
    return round(median(costs))


def loop_overhead_ns() -> int:
    """Median cost of one turn of the timing loop around an empty call, ns."""

    def call(_item: object) -> None:
        return None

    clock = now
    costs = []
    for _ in range(REPEATS):
        items = islice(cycle([None] * 64), TURNS)
        start = clock()
        for item in items:
            result = call(item)
        result = None  # noqa: F841 - as in the timing loop
        end = clock()
        costs.append((end - start) / TURNS)
    return round(median(costs))


def age_ns() -> int:
    """Time since this process was started, ns.

    On Linux from the kernel's start time, which is in ticks of 10 ms; elsewhere from the import of this module.
    """
    since_import = now() - IMPORTED
    try:
        with open("/proc/self/stat", "rb") as file:
            # The second field is the program's name in parentheses, and may hold anything.
            fields = file.read().rpartition(b")")[2].split()
        started = int(fields[19]) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
        return max(time.clock_gettime_ns(time.CLOCK_BOOTTIME) - started, since_import)
    except (OSError, ValueError, IndexError, AttributeError):
        return since_import
