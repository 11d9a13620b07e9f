"""A worker process of `http-workers`: an ASGI application without a framework, and what the parent asks it.

The parent listens on a Unix socket; the worker connects to it when its server starts it, says that it is ready or why
it is not, and answers `stats`, `reset` and `drain`, one JSON object a line each. When the parent ends, so does the
worker.
"""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from .. import facts
from ..clock import now
from ..errors import UnavailableError, describe, is_caught
from . import guard
from .base import parse
from .counters import DRAINING, Counters
from .frames import ERROR, OK, payload
from .lag import Heartbeat
from .pipeline import Pipeline, settle_heap, warm
from .start import Start

CONTROL_VAR = "LLMBENCH_HTTP_CONTROL"
"""Environment variable with the path of the parent's socket."""
START_VAR = "LLMBENCH_HTTP_START"
"""Environment variable with the start request, JSON."""

PATH = "/prepare"
HEADERS_TYPE = (b"content-type", b"application/octet-stream")


class App:
    """The application; one object a process."""

    def __init__(self) -> None:
        self._counters = Counters()
        self._lag = Heartbeat()

    async def __call__(self, scope: dict, receive: Callable[[], Awaitable[dict]], send: Callable) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)

    async def _serve(self, scope: dict, receive: Callable[[], Awaitable[dict]], send: Callable) -> None:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if scope["path"] != PATH or scope["method"] != "POST":
            await _respond(send, 404, b"send POST /prepare")
            return
        received = now()
        if not self._counters.arrive():
            await _respond(send, 200, payload(ERROR, (received, received, received), DRAINING.encode()))
            return
        ok = False
        try:
            started = now()
            try:
                ids = self._pipeline(parse(body))
                answer = payload(OK, (received, started, now()), ids)
                ok = True
            except BaseException as error:
                if not is_caught(error):
                    raise
                answer = payload(ERROR, (received, started, now()), describe(error).encode())
        finally:
            self._counters.leave(ok)
        await _respond(send, 200, answer)

    async def _live(self, receive: Callable[[], Awaitable[dict]], send: Callable) -> None:
        await receive()
        # The server has put its own handler there; it would end this worker alone.
        guard.ignore_interrupts()
        guard.die_with(os.getppid())
        reader, writer = await asyncio.open_unix_connection(os.environ[CONTROL_VAR])
        try:
            start = Start(**json.loads(os.environ[START_VAR]))
            self._pipeline = Pipeline(start)
            warm(self._pipeline.serve, start)
        except BaseException as error:
            if not is_caught(error):
                raise
            kind = "unavailable" if isinstance(error, UnavailableError) else "failed"
            _write(writer, {"type": "fatal", "kind": kind, "message": describe(error)})
            await writer.drain()
            await send({"type": "lifespan.startup.failed", "message": describe(error)})
            return
        self._lag.start()
        settle_heap()
        control = asyncio.ensure_future(self._answer_parent(reader, writer))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        control.cancel()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer_parent(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
        _write(writer, {"type": "ready", "pid": os.getpid(), "gil": facts.gil(), "loop": loop, "http": _parser()})
        while line := await reader.readline():
            kind = json.loads(line)["type"]
            if kind == "reset":
                self._counters.reset()
                self._lag.reset()
            elif kind == "drain":
                await self._counters.drain()
            counts: dict[str, Any] = self._counters.as_dict()
            _write(writer, {"type": kind, **counts, "late_ns": self._lag.late_ns() if kind == "stats" else []})
        os._exit(0)  # the parent is gone


async def _respond(send: Callable, status: int, body: bytes) -> None:
    headers = [HEADERS_TYPE, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _write(writer: asyncio.StreamWriter, message: dict) -> None:
    writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")


def _parser() -> str:
    """What parses HTTP, by the modules that are there."""
    return next((name for name in ("granian", "httptools", "h11") if name in sys.modules), "unknown")


app = App()
