"""How late an event loop is: a heartbeat that the kernel sends, and when the loop comes to it."""

import asyncio
import ctypes
import os
import sys
from array import array
from math import ceil

from ..clock import now

PERIOD_NS = 5_000_000
"""Time between beats."""

CLOCK_MONOTONIC = 1
TFD_FLAGS = os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class Heartbeat:
    """Beats every 5 ms on a fixed schedule; the lateness of each is kept until `reset`.

    A loop that is blocked misses beats. Those count too, each from its own time: otherwise a stall of a second would
    weigh as much as one of 5 ms. On Linux the beat is a timer descriptor, because the timeouts of epoll are whole
    milliseconds; elsewhere it is the loop's own timer.
    """

    def __init__(self) -> None:
        self._late = array("q")
        self._fd: int | None = None

    def start(self) -> None:
        """Begins; needs a running loop."""
        self._loop = asyncio.get_running_loop()
        self._due = now() + PERIOD_NS
        if sys.platform == "linux":
            try:
                self._fd = _timer(self._due)
            except OSError:
                self._fd = None
        if self._fd is None:
            self._loop.call_later(PERIOD_NS / 1e9, self._beat_by_timer)
        else:
            self._loop.add_reader(self._fd, self._beat)

    def _beat(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return
        self._note(now())

    def _beat_by_timer(self) -> None:
        time = now()
        self._note(time)
        self._loop.call_later(max(0, self._due - time) / 1e9, self._beat_by_timer)

    def _note(self, time: int) -> None:
        while self._due <= time:
            self._late.append(time - self._due)
            self._due += PERIOD_NS

    def reset(self) -> None:
        self._late = array("q")

    def late_ns(self) -> list[int]:
        """Lateness of every beat since the last reset, ns."""
        return self._late.tolist()


def _timer(first_ns: int) -> int:
    """A descriptor that becomes readable at `first_ns` of CLOCK_MONOTONIC and every period from there on."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.timerfd_create(CLOCK_MONOTONIC, TFD_FLAGS)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create failed")
    spec = _Itimerspec(_Timespec(0, PERIOD_NS), _Timespec(*divmod(first_ns, 1_000_000_000)))
    absolute = 1  # TFD_TIMER_ABSTIME
    if libc.timerfd_settime(fd, absolute, ctypes.byref(spec), None) != 0:
        os.close(fd)
        raise OSError(ctypes.get_errno(), "timerfd_settime failed")
    return fd


def summary(late_ns: list[int]) -> dict[str, int]:
    """Count, and the order statistics that stand for the 50th and 99th percentile, ns."""
    if not late_ns:
        return {"samples": 0, "p50_ns": 0, "p99_ns": 0, "max_ns": 0}
    ordered = sorted(late_ns)

    def at(share: float) -> int:
        return ordered[max(0, ceil(share * len(ordered)) - 1)]

    return {"samples": len(ordered), "p50_ns": at(0.50), "p99_ns": at(0.99), "max_ns": ordered[-1]}
