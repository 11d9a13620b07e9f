"""The front end: an asyncio server on a Unix socket that cuts frames and hands them to a strategy."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import Any

from ..clock import now
from ..errors import FatalError, describe, is_caught
from .base import Request, Server, Strategy
from .counters import DRAINING, Counters
from .frames import ERROR, Splitter, answer
from .lag import Heartbeat, summary
from .pipeline import settle_heap


class Connection(asyncio.Protocol):
    """One client. A protocol class, since streams cost more than some of the strategies' requests."""

    def __init__(self, front: "Front") -> None:
        self._front = front
        self._splitter = Splitter()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment] # a stream's transport
        self._front.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._front.connections.discard(self)
        self._transport = None

    def data_received(self, data: bytes) -> None:
        received = now()
        try:
            frames = self._splitter.feed(data)
        except ValueError:
            self.close()
            return
        for index, body in frames:
            self._front.accept(index, body, received, self.write)

    def write(self, data: bytes) -> None:
        """Sends an answer, if the client is still there."""
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class Front(Server):
    """The server of all strategies but the HTTP one."""

    def __init__(self, strategy: Strategy) -> None:
        self.counters = Counters()
        self.connections: set[Connection] = set()
        self._strategy = strategy
        self._lag = Heartbeat()
        self._path = strategy.given.socket

    async def start(self) -> str:
        await self._strategy.start()
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_unix_server(lambda: Connection(self), self._path, backlog=1024)
        except OSError as error:
            raise FatalError(
                f"the socket {self._path} cannot be opened ({error}); use a short path in a folder that is yours"
            ) from error
        self._lag.start()
        settle_heap()
        return f"unix:{self._path}"

    def accept(self, index: int, body: bytes, received: int, write: Callable[[bytes], None]) -> None:
        """Lets a request in and hands it on. One that fails is answered; the others do not notice."""
        if not self.counters.arrive():
            time = now()
            write(answer(index, ERROR, (received, time, time), DRAINING.encode()))
            return
        request = Request(index, body, received, write, self.counters.leave)
        try:
            self._strategy.submit(request)
        except BaseException as error:
            if not is_caught(error):
                raise
            request.fail(describe(error))

    async def stats(self) -> dict[str, Any]:
        return {**self.counters.as_dict(), "loop_lag": summary(self._lag.late_ns()), **self._strategy.stats()}

    async def reset(self) -> None:
        self.counters.reset()
        self._lag.reset()
        self._strategy.reset()

    async def drain(self) -> None:
        await self.counters.drain()

    async def stop(self) -> None:
        if hasattr(self, "_server"):
            self._server.close()
            for connection in list(self.connections):
                connection.close()
        await self._strategy.stop()
        with contextlib.suppress(OSError):
            os.unlink(self._path)

    def processes(self) -> list[int]:
        return self._strategy.processes()

    def gil(self) -> str:
        return self._strategy.gil()

    def versions(self) -> dict[str, str]:
        return self._strategy.versions()
