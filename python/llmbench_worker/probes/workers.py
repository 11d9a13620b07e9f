"""What works beside a victim: threads of this process, or the same threads in a process of their own.

Both live as long as the worker and are parked between measurements, without polling.
"""

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

from ..channel import ANSWER_FD_VAR
from ..errors import CellError, UnavailableError

PACKAGE = __name__.partition(".")[0]


class Threads:
    """Long-lived threads that call, one input after the other, from `start` to `stop`."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._call: Callable[[Any], Any] | None = None
        self._parts: list[list] = []
        self._going = False
        self._calls = [0] * count
        self._errors: list[BaseException] = []
        self._start = [threading.Semaphore(0) for _ in range(count)]
        self._warm, self._done = threading.Semaphore(0), threading.Semaphore(0)
        for index in range(count):
            threading.Thread(target=self._live, args=(index,), name=f"beside-{index}", daemon=True).start()

    def start(self, call: Callable[[Any], Any], items: list) -> None:
        """Starts them; returns when each has made its first call. Thread `t` begins `t/count` into the items."""
        shifts = [index * len(items) // self.count for index in range(self.count)]
        self._call, self._parts = call, [items[shift:] + items[:shift] for shift in shifts]
        self._going = True
        for semaphore in self._start:
            semaphore.release()
        for _ in range(self.count):
            self._warm.acquire()

    def stop(self) -> int:
        """Stops them, each after the call that it is in; the calls that they made together.

        Raises:
            BaseException: what a call raised.
        """
        self._going = False
        for _ in range(self.count):
            self._done.acquire()
        self._call, self._parts = None, []
        errors, self._errors = self._errors, []
        if errors:
            raise errors[0]
        return sum(self._calls)

    def _live(self, index: int) -> None:
        while True:
            self._start[index].acquire()
            self._calls[index] = 0
            warm = False
            try:
                for item in cycle(self._parts[index]):
                    self._call(item)
                    self._calls[index] += 1
                    if not warm:
                        warm = True
                        self._warm.release()
                    if not self._going:
                        break
            except BaseException as error:  # a panic of an extension is no Exception; stop() raises it again
                self._errors.append(error)
                if not warm:
                    self._warm.release()
            self._done.release()


class Child:
    """The same threads in another process, with engines of its own, started afresh and not forked.

    It ends with the thread that made it, or when its input ends, whichever it sees first.
    """

    def __init__(self, op: dict, count: int, model: Any) -> None:
        """
        Raises:
            UnavailableError: the engine is not to be had there.
            CellError: it did not start, or the engine did not load.
        """
        folder = str(Path(__file__).resolve().parents[2])
        inherited = {name: value for name, value in os.environ.items() if name != ANSWER_FD_VAR}
        path = os.pathsep.join(part for part in (folder, inherited.get("PYTHONPATH")) if part)
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"{PACKAGE}.probes.child", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**inherited, "PYTHONPATH": path},
        )
        self._ask("load", op, count, model)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def start(self, items: list, switch_interval_s: float) -> None:
        """Starts the threads on these inputs; returns when each has made its first call."""
        self._ask("start", items, switch_interval_s)

    def stop(self) -> int:
        """Stops the threads; the calls that they made together."""
        return self._ask("stop")

    def close(self) -> None:
        """Ends the process and waits for it."""
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()

    def _ask(self, *request: Any) -> Any:
        try:
            pickle.dump(request, self._process.stdin)
            self._process.stdin.flush()
            kind, value = pickle.load(self._process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            self.close()
            raise CellError(
                f"the process of the victim's neighbours ended (status {self._process.returncode}); what it wrote to"
                " stderr says why"
            ) from error
        if kind == "unavailable":
            raise UnavailableError(value)
        if kind == "error":
            raise CellError(value)
        return value
