"""A queue in front of `encode_batch`, as vLLM's asynchronous tokenizer has it.

Requests are rendered by a pool of threads; what is rendered waits in a queue. A batch is what is there `wait_ms`
after its first request came, at most `max_batch`, and no batch starts while as many are under way as may be (one, or
`threads` for `inner-parallelism`). So at 0 ms a batch is what gathered during the one before it. The wait is a timer
of asyncio, which on Linux fires at whole milliseconds: 0.5 ms is up to 1 ms unless something else wakes the loop,
here as in the servers that have this queue.
"""

import asyncio
import json
from collections import deque
from typing import Any, NamedTuple

from ..clock import now
from ..errors import FatalError, describe, is_caught
from .base import Request, parse
from .base import Strategy as Base
from .executor import warmed_pool
from .pipeline import Pipeline, warm


class Waiting(NamedTuple):
    """A rendered request in the queue."""

    request: Request
    started: int
    text: str
    due: float
    """Time of the loop (s) from which a batch that begins with it may start."""


Rendered = tuple[int, "str | None", "str | None"]
"""When the service began (ns), the prompt, and the message if there is none."""


class Strategy(Base):
    batches_at_once = 1

    async def start(self) -> None:
        wait_ms = self.given.params.get("wait_ms", 0)
        if not isinstance(wait_ms, (int, float)) or isinstance(wait_ms, bool) or wait_ms < 0:
            raise FatalError(f"{self.given.strategy}: wait_ms must be a number of milliseconds, not {wait_ms!r}")
        self._wait_s = wait_ms / 1e3
        self._max_batch = self.given.count("max_batch", 64)
        self._pipeline = Pipeline(self.given)
        encode_batch = self._pipeline.encode_batch
        lines = [json.loads(line) for line in self.given.warm_up()]

        def prepare() -> None:
            warm(self._pipeline.serve, self.given)
            encode_batch([self._pipeline.render(line) for line in lines])

        threads = self.given.count("threads", self.given.workers)
        self._renderers = warmed_pool(threads, prepare)
        self._encoders = warmed_pool(self.batches_at_once, prepare)
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._under_way = 0
        self.reset()

    def submit(self, request: Request) -> None:
        job = parse(request.body)
        rendered = self._loop.run_in_executor(self._renderers, self._render, job)
        rendered.add_done_callback(lambda future: self._enqueue(request, future))

    def stats(self) -> dict[str, Any]:
        mean = self._sum / self._count if self._count else 0.0
        return {"batches": {"count": self._count, "mean_size": mean, "max_size": self._largest}}

    def reset(self) -> None:
        self._count = self._sum = self._largest = 0

    def _render(self, job: Any) -> Rendered:
        started = now()
        try:
            return started, self._pipeline.render(job), None
        except BaseException as error:
            if not is_caught(error):
                raise
            return started, None, describe(error)

    def _enqueue(self, request: Request, future: asyncio.Future) -> None:
        started, text, message = future.result()
        if text is None:
            request.fail(message, started)
            return
        self._queue.append(Waiting(request, started, text, self._loop.time() + self._wait_s))
        self._consider()

    def _consider(self) -> None:
        """Starts the batches that are due, and sees to it that the next one is looked at when it is."""
        while self._queue and self._under_way < self.batches_at_once:
            due = self._queue[0].due
            if self._wait_s and len(self._queue) < self._max_batch and self._loop.time() < due:
                if self._timer is None:
                    self._timer = self._loop.call_at(due, self._awake)
                return
            self._start_batch()

    def _awake(self) -> None:
        self._timer = None
        self._consider()

    def _start_batch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        size = min(self._max_batch, len(self._queue))
        batch = [self._queue.popleft() for _ in range(size)]
        self._count += 1
        self._sum += size
        self._largest = max(self._largest, size)
        self._under_way += 1
        encoded = self._loop.run_in_executor(self._encoders, self._encode, [waiting.text for waiting in batch])
        encoded.add_done_callback(lambda future: self._answer(batch, future))

    def _encode(self, texts: list[str]) -> list[bytes]:
        return [self._pipeline.finish(ids) for ids in self._pipeline.encode_batch(texts)]

    def _answer(self, batch: list[Waiting], future: asyncio.Future) -> None:
        self._under_way -= 1
        # The next batch first: its tokenizing needs no GIL, and goes on while these answers are written.
        self._consider()
        try:
            results = future.result()
        except BaseException as error:
            if not is_caught(error):
                raise
            for waiting in batch:
                waiting.request.fail(describe(error), waiting.started)
            return
        for waiting, ids in zip(batch, results, strict=True):
            waiting.request.done(waiting.started, ids)
