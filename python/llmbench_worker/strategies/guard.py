"""No process outlives the one that started it."""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def ignore_interrupts() -> None:
    """A Ctrl-C reaches the whole process group; when this process ends is the harness's decision."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def die_with(parent: int) -> None:
    """Asks the kernel (Linux) to kill this process when `parent` ends.

    The signal is sent when the *thread* that started this process ends, so only main threads start processes here.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before we asked
        os._exit(0)


def exit_after(wait: Callable[[], object]) -> None:
    """Ends this process when `wait` returns, which it does in a thread of its own: for example at the end of a pipe
    whose other end the parent holds."""

    def watch() -> None:
        wait()
        os._exit(0)

    threading.Thread(target=watch, name="guard", daemon=True).start()
