"""What a strategy is to the server in front of it, and what a server is to the harness."""

import asyncio
import json
import os
from collections.abc import Callable
from typing import Any

from .. import facts
from ..clock import now
from ..engines import TABLE
from ..errors import CellError, describe, is_caught
from .frames import ERROR, OK, answer
from .start import Start


def packages(pipeline: dict[str, str]) -> list[str]:
    """The packages whose versions matter to a pipeline."""
    return sorted({name for pair in pipeline.values() if pair in TABLE for name in TABLE[pair].packages})


def parse(body: bytes) -> Any:
    """A body as Python objects, as every gateway makes them first.

    Raises: CellError: it is not JSON.
    """
    try:
        return json.loads(body)
    except ValueError as error:
        raise CellError(f"the request is not valid JSON ({error}); send one JSON object as its body") from None


class Request:
    """One request on its way. It is answered once, by `done` or `fail`, on the event loop."""

    __slots__ = ("_leave", "_write", "body", "index", "received")

    def __init__(
        self, index: int, body: bytes, received: int, write: Callable[[bytes], None], leave: Callable[[bool], None]
    ) -> None:
        self.index = index
        self.body = body
        self.received = received
        self._write = write
        self._leave = leave

    def done(self, started: int, ids: bytes) -> None:
        """`ids` as little-endian u32; `started` is when the service began, ns."""
        self._write(answer(self.index, OK, (self.received, started, now()), ids))
        self._leave(True)

    def fail(self, message: str, started: int | None = None) -> None:
        finished = now()
        begun = finished if started is None else started
        self._write(answer(self.index, ERROR, (self.received, begun, finished), message.encode()))
        self._leave(False)

    def served(self, started: int, ids: bytes | None, message: str | None) -> None:
        """Answers with what `Pipeline.serve` returned."""
        if ids is None:
            self.fail(message or "the request failed", started)
        else:
            self.done(started, ids)

    def settle(self, future: asyncio.Future) -> None:
        """Answers with a future whose result is what `Pipeline.serve` returns."""
        try:
            served = future.result()
        except BaseException as error:
            if not is_caught(error):
                raise
            self.fail(describe(error))
        else:
            self.served(*served)


class Strategy:
    """Takes requests on the event loop and answers them there."""

    def __init__(self, start: Start) -> None:
        self.given = start

    async def start(self) -> None:
        """Loads and warms; the event loop runs already and no request comes before the end of it.

        Raises:
            UnavailableError, CellError, FatalError: it cannot serve.
        """

    def submit(self, request: Request) -> None:
        """Takes a request. May raise what makes it fail."""
        raise NotImplementedError

    async def stop(self) -> None:
        """Ends what it started, processes above all."""

    def processes(self) -> list[int]:
        """Pids of all processes that serve."""
        return [os.getpid()]

    def stats(self) -> dict[str, Any]:
        """What it counts beside the front end."""
        return {}

    def reset(self) -> None:
        """Starts its counts again."""

    def gil(self) -> str:
        """State of the GIL where the pipeline runs, after its imports."""
        return facts.gil()

    def versions(self) -> dict[str, str]:
        """Package to version, of what the pipeline uses."""
        return facts.versions(packages(self.given.pipeline))


class Server:
    """What the harness starts, asks and stops."""

    async def start(self) -> str:
        """Starts to listen; returns the endpoint."""
        raise NotImplementedError

    async def stats(self) -> dict[str, Any]:
        raise NotImplementedError

    async def reset(self) -> None:
        raise NotImplementedError

    async def drain(self) -> None:
        raise NotImplementedError

    async def stop(self) -> None:
        raise NotImplementedError

    def processes(self) -> list[int]:
        raise NotImplementedError

    def gil(self) -> str:
        raise NotImplementedError

    def versions(self) -> dict[str, str]:
        raise NotImplementedError
