"""`concurrent.futures.ProcessPoolExecutor`, spawned workers, and three ways in which the ids come back.

The front end sends the parsed request, which the pool pickles. `pickle` returns the list of ids, `bytes` returns them
as little-endian u32 in one bytes object, `shared-memory` writes those into a slot that the front end names. A pool
that has lost a worker answers every further request with an error, as the executor does.
"""

import asyncio
import contextlib
import mmap
import multiprocessing
import os
import tempfile
import threading
from collections import deque
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from multiprocessing import resource_tracker, util
from multiprocessing.connection import wait as wait_for
from typing import Any

from .. import facts
from ..clock import now
from ..digests import ids_bytes
from ..errors import FatalError, UnavailableError, describe, is_caught
from . import guard
from .base import Request, parse
from .base import Strategy as Base
from .pipeline import Pipeline, settle_heap, warm
from .start import Start

SLOTS = 128
SLOT_BYTES = 1 << 20
"""Shared memory: requests in it at once, and how much one may return (262,144 ids); more comes back as bytes."""

START_PATIENCE_S = 300.0
"""How long the workers wait for one another at the start."""


class Strategy(Base):
    async def start(self) -> None:
        workers = self.given.workers
        how = self.given.choice("result", "pickle", "bytes", "shared-memory")
        self._task = {"pickle": _ids, "bytes": _bytes, "shared-memory": _slot}[how]
        self._slots: deque[int] | None = None
        memory = None
        if how == "shared-memory":
            self._memory = Memory.create(SLOTS * SLOT_BYTES)
            memory = self._memory.path
            self._slots = deque(range(SLOTS))
        self._waiting: deque[tuple[Request, Any]] = deque()
        context = multiprocessing.get_context("spawn")
        everyone = context.Barrier(workers)
        self._pool = ProcessPoolExecutor(
            workers, mp_context=context, initializer=_enter, initargs=(self.given, memory, everyone, os.getpid())
        )
        loop = asyncio.get_running_loop()
        self._run = loop.run_in_executor
        # As many tasks as workers, none of which ends before all have begun: each worker runs one.
        try:
            self._workers = await asyncio.gather(*(self._run(self._pool, _greet) for _ in range(workers)))
        except BrokenExecutor as error:
            raise FatalError("a worker of the pool ended while it loaded; its stderr says why") from error
        if memory is not None:
            self._memory.remove()
        for worker in self._workers:
            if worker["error"] is not None:
                kind, message = worker["error"]
                raise (UnavailableError if kind == "unavailable" else FatalError)(message)

    def submit(self, request: Request) -> None:
        job = parse(request.body)
        if self._slots is None:
            self._run(self._pool, self._task, job).add_done_callback(lambda future: _answer(request, future))
        elif self._slots:
            self._submit_to(self._slots.popleft(), request, job)
        else:
            self._waiting.append((request, job))

    def _submit_to(self, slot: int, request: Request, job: Any) -> None:
        try:
            future = self._run(self._pool, self._task, job, slot)
        except BaseException:
            self._slots.append(slot)
            raise
        future.add_done_callback(lambda done: self._answer_from(slot, request, done))

    def _answer_from(self, slot: int, request: Request, future: asyncio.Future) -> None:
        try:
            started, result, message = future.result()
        except BaseException as error:
            if not is_caught(error):
                raise
            request.fail(describe(error))
        else:
            if isinstance(result, int):
                result = self._memory.read(slot, result)
            request.served(started, result, message)
        self._slots.append(slot)
        while self._waiting and self._slots:
            following, job = self._waiting.popleft()
            try:
                self._submit_to(self._slots.popleft(), following, job)
            except BaseException as error:
                if not is_caught(error):
                    raise
                following.fail(describe(error))

    async def stop(self) -> None:
        if not hasattr(self, "_pool"):
            return
        workers = multiprocessing.active_children()
        for worker in workers:
            worker.kill()
        # The executor's own thread notices, and is done with everything when this returns.
        await asyncio.get_running_loop().run_in_executor(None, self._pool.shutdown)
        for worker in workers:
            worker.join()
        # This process ends without the interpreter's own clean-up, which would remove the pool's semaphores and end the
        # process that multiprocessing keeps to track them.
        util._run_finalizers(0)
        stop_tracker = getattr(resource_tracker._resource_tracker, "_stop", None)
        if stop_tracker is not None:
            stop_tracker()

    def processes(self) -> list[int]:
        return [os.getpid(), *(worker["pid"] for worker in self._workers)]

    def gil(self) -> str:
        return self._workers[0]["gil"]


def _answer(request: Request, future: asyncio.Future) -> None:
    try:
        started, result, message = future.result()
    except BaseException as error:
        if not is_caught(error):
            raise
        request.fail(describe(error))
        return
    request.served(started, ids_bytes(result) if isinstance(result, list) else result, message)


class Memory:
    """Memory that the front end and its workers share, cut into slots. It has no name that could be left behind."""

    def __init__(self, fd: int, path: str, size: int) -> None:
        self.path = path
        self._map = mmap.mmap(fd, size)

    @classmethod
    def create(cls, size: int) -> "Memory":
        """Memory of `size` bytes, none of which is taken before it is written."""
        if hasattr(os, "memfd_create"):
            fd = os.memfd_create("llmbench-ids")
            path = f"/proc/{os.getpid()}/fd/{fd}"
        else:
            fd, path = tempfile.mkstemp(prefix="llmbench-ids-")
        os.ftruncate(fd, size)
        return cls(fd, path, size)

    @classmethod
    def open(cls, path: str) -> "Memory":
        fd = os.open(path, os.O_RDWR)
        made = cls(fd, path, os.fstat(fd).st_size)
        os.close(fd)
        return made

    def remove(self) -> None:
        """Where memory has a name after all, takes that away; who has opened it keeps it."""
        if not self.path.startswith("/proc/"):
            os.unlink(self.path)

    def write(self, slot: int, data: bytes) -> None:
        at = slot * SLOT_BYTES
        self._map[at : at + len(data)] = data

    def read(self, slot: int, length: int) -> bytes:
        at = slot * SLOT_BYTES
        return self._map[at : at + length]


# In a worker.

_pipeline: Pipeline | None = None
_memory: Memory | None = None
_barrier: Any = None
_error: tuple[str, str] | None = None


def _enter(start: Start, memory: str | None, everyone: Any, parent: int) -> None:
    """Makes a worker ready. What goes wrong is kept for `_greet`: the executor would only say that it broke."""
    global _pipeline, _memory, _barrier, _error
    guard.ignore_interrupts()
    guard.die_with(parent)
    sentinel = multiprocessing.parent_process().sentinel  # type: ignore[union-attr] # a worker has a parent
    guard.exit_after(lambda: wait_for([sentinel]))
    _barrier = everyone
    try:
        _memory = None if memory is None else Memory.open(memory)
        _pipeline = Pipeline(start)
        warm(_pipeline.serve, start)
        settle_heap()
    except BaseException as error:
        if not is_caught(error):
            raise
        _error = ("unavailable" if isinstance(error, UnavailableError) else "failed", describe(error))


def _greet() -> dict:
    with contextlib.suppress(threading.BrokenBarrierError):
        _barrier.wait(START_PATIENCE_S)
    return {"pid": os.getpid(), "gil": facts.gil(), "error": _error}


def _ids(job: Any) -> tuple[int, list[int] | None, str | None]:
    return _caught(job, _pipeline.ids)


def _bytes(job: Any) -> tuple[int, bytes | None, str | None]:
    return _caught(job, _pipeline)


def _slot(job: Any, slot: int) -> tuple[int, int | bytes | None, str | None]:
    started, ids, message = _caught(job, _pipeline)
    if ids is None or len(ids) > SLOT_BYTES:
        return started, ids, message
    _memory.write(slot, ids)
    return started, len(ids), None


def _caught(job: Any, call: Any) -> tuple[int, Any, str | None]:
    started = now()
    try:
        return started, call(job), None
    except BaseException as error:
        if not is_caught(error):
            raise
        return started, None, describe(error)
