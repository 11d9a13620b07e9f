"""What the kernel says about a thread, and what a process asks of it. Where it does not know, 0."""

import ctypes
import os
import signal
import sys

SCHEDSTAT = "/proc/thread-self/schedstat"
PR_SET_PDEATHSIG = 1


class RunQueue:
    """How long the thread that made this object has been ready to run and waited for a CPU.

    The second number of its schedstat (the kernel's Documentation/scheduler/sched-stats.rst). Time in which the host of
    a virtual machine took the CPU away is not in it. Reading it does not release the GIL: a victim that released it
    here would have to wait for it once more.
    """

    def __init__(self) -> None:
        self._buffer = ctypes.create_string_buffer(96)
        try:
            self._fd = os.open(SCHEDSTAT, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._fd = -1
        self._pread = ctypes.PyDLL(None).pread
        self._pread.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long]
        self._pread.restype = ctypes.c_ssize_t

    def read_ns(self) -> int:
        """The time so far, ns; 0 where the kernel does not say."""
        length = self._pread(self._fd, self._buffer, len(self._buffer), 0)
        numbers = self._buffer.raw[: max(length, 0)].split()
        return int(numbers[1]) if len(numbers) > 1 else 0

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def end_with_parent(parent: int) -> None:
    """Ends this process when the thread of `parent` that started it does; at once if it already has."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(ctypes.c_int(PR_SET_PDEATHSIG), ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)
