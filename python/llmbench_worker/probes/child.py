"""`python -m llmbench_worker.probes.child PARENT`: threads that work beside a victim in another process.

Requests and answers are pickles on stdin and stdout; the parent is a worker, which also ends this process.
"""

import contextlib
import os
import pickle
import sys
from typing import Any, BinaryIO

from ..engines import Engines
from ..errors import UnavailableError, describe, is_caught
from . import calls, kernel
from .workers import Threads


class Child:
    """State of the process."""

    def load(self, op: dict, count: int, model: Any) -> None:
        self._call = calls.call(op, Engines(model, lambda _pair, call: call))
        self._threads = Threads(count)

    def start(self, items: list, switch_interval_s: float) -> None:
        sys.setswitchinterval(switch_interval_s)
        self._threads.start(self._call, items)

    def stop(self) -> int:
        return self._threads.stop()


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answers until the input ends."""
    child = Child()
    while True:
        try:
            name, *arguments = pickle.load(requests)
        except EOFError:
            return
        try:
            answer = ("done", getattr(child, name)(*arguments))
        except UnavailableError as error:
            answer = ("unavailable", str(error))
        except BaseException as error:
            if not is_caught(error):
                raise
            answer = ("error", describe(error))
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    kernel.end_with_parent(int(sys.argv[1]))
    with os.fdopen(os.dup(1), "wb") as pipe:
        os.dup2(2, 1)  # a stray print must not get among the answers
        with contextlib.suppress(BrokenPipeError):
            serve(sys.stdin.buffer, pipe)
    os._exit(0)
