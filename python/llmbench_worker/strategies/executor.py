"""Threads: `run_in_executor` with one thread or several, which share the engines or have their own.

`free-threaded` is the same on an interpreter that runs without the GIL, and refuses to run on any other.
"""

import asyncio
import sysconfig
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .. import facts
from ..errors import UnavailableError, is_caught
from .base import Request, parse
from .base import Strategy as Base
from .pipeline import Pipeline, Served, warm


class Strategy(Base):
    async def start(self) -> None:
        if self.given.strategy == "free-threaded":
            require_free_threading()
        threads = self.given.count("threads", self.given.workers)
        is_shared = self.given.choice("objects", "shared", "per-thread") == "shared"
        shared = Pipeline(self.given) if is_shared else None
        self._local = threading.local()
        self._pool = warmed_pool(threads, lambda: self._prepare(shared))
        self._run = asyncio.get_running_loop().run_in_executor
        if self.given.strategy == "free-threaded":
            require_free_threading()  # again: an import may have switched the GIL on

    def submit(self, request: Request) -> None:
        job = parse(request.body)
        self._run(self._pool, self._serve, job).add_done_callback(request.settle)

    def _prepare(self, shared: Pipeline | None) -> None:
        pipeline = self._local.pipeline = shared or Pipeline(self.given, own=True)
        warm(pipeline.serve, self.given)

    def _serve(self, job: Any) -> Served:
        return self._local.pipeline.serve(job)


def warmed_pool(threads: int, prepare: Callable[[], None]) -> ThreadPoolExecutor:
    """A pool whose threads all run, each of which has called `prepare`.

    Raises what `prepare` raised.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="worker")
    # An executor starts a thread only when no other is idle; this makes it start all of them.
    everyone = threading.Barrier(threads)

    def enter(_: int) -> BaseException | None:
        try:
            prepare()
            failure = None
        except BaseException as error:
            if not is_caught(error):
                raise
            failure = error
        everyone.wait()
        return failure

    for failure in pool.map(enter, range(threads)):
        if failure is not None:
            raise failure
    return pool


def require_free_threading() -> None:
    """Raises: UnavailableError: this process has a GIL."""
    if facts.gil() == "disabled":
        return
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise UnavailableError(
            f"{facts.interpreter()} is a free-threaded build, but the GIL is on after the imports: PYTHON_GIL=1 or an"
            " extension without support switched it on; unset PYTHON_GIL, or use packages built for free threading"
        )
    raise UnavailableError(
        f"{facts.interpreter()} has a GIL; use a free-threaded build, for example from: uv python install 3.14t"
    )
