"""`python -m llmbench_worker.serve`: one strategy as a server; the harness starts it, feeds it over a socket and
stops it.

Control is JSON Lines as in `channel`: `start` first, then `stats`, `reset`, `drain`, and `bye` or the end of stdin.
Exit codes are those of `__main__`.
"""

import asyncio
import contextlib
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from . import PROTOCOL, facts
from .channel import ANSWER_FD_VAR, Channel
from .errors import CellError, FatalError, UnavailableError, describe, missing, one_line
from .strategies import TABLE, guard
from .strategies.base import Server
from .strategies.start import Start

USAGE = """\
This is a server of llmbench's Python worker; llmbench starts it. Its strategies:
"""

STUCK_S = 3.0
"""How long an event loop may take to notice that it should end; one that loads or has a long backlog takes longer."""
STOP_PATIENCE_S = 10.0
"""How long a server may take to stop before the process ends anyway."""


def make(start: Start) -> Server:
    """The server of a strategy; it imports nothing of the pipeline yet.

    Raises: UnavailableError: there is no such strategy here, or it lacks a package.
    """
    entry = TABLE.get(start.strategy)
    if entry is None:
        raise UnavailableError(f"the Python worker has no strategy {start.strategy}; it has: {', '.join(TABLE)}")
    if start.strategy == "inner-parallelism":
        # Before anything can have imported the tokenizer's library.
        from .strategies.inner_parallelism import set_environment

        set_environment(start)
    module = import_module(f".strategies.{entry.module}", __package__)
    if hasattr(module, "Server"):
        return module.Server(start)
    from .strategies.front import Front

    return Front(module.Strategy(start))


def new_loop(start: Start) -> asyncio.AbstractEventLoop:
    """The event loop that `params.loop` asks for: asyncio's own, or uvloop's."""
    if start.choice("loop", "asyncio", "uvloop") == "asyncio":
        return asyncio.new_event_loop()
    if find_spec("uvloop") is None:
        raise missing("uvloop")
    return import_module("uvloop").new_event_loop()


class Control:
    """The harness's side of a running server. A thread reads the requests: a loop that is stuck can still be ended."""

    def __init__(self, channel: Channel, requests: Iterator[dict], start: Start, server: Server) -> None:
        self._channel = channel
        self._start = start
        self._requests = requests
        self._server = server

    async def serve(self) -> None:
        """Until `bye`, the end of stdin, or an answer that had to be `fatal`."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        waiting: asyncio.Queue[str] = asyncio.Queue()
        # It reads from here on: the harness may end while the server still loads, or while it drains.
        threading.Thread(target=self._read, args=(loop, waiting, ended), name="control", daemon=True).start()
        served = asyncio.ensure_future(self._serve(waiting))
        try:
            await asyncio.wait({served, ended}, return_when=asyncio.FIRST_COMPLETED)
            for one in (served, ended):
                if one.done():
                    one.result()
        finally:
            served.cancel()
            timer = threading.Timer(STOP_PATIENCE_S, self._end_now)
            timer.daemon = True
            timer.start()
            await self._server.stop()

    def _read(self, loop: asyncio.AbstractEventLoop, waiting: asyncio.Queue[str], ended: asyncio.Future) -> None:
        failure: BaseException | None = None
        try:
            for request in self._requests:
                if request["type"] == "bye":
                    break
                loop.call_soon_threadsafe(waiting.put_nowait, request["type"])
        except BaseException as error:
            failure = error
        noticed = threading.Event()

        def end() -> None:
            noticed.set()
            if failure is None:
                ended.set_result(None)
            else:
                ended.set_exception(failure)

        loop.call_soon_threadsafe(end)
        if not noticed.wait(STUCK_S):
            self._end_now()

    def _end_now(self) -> None:
        """Ends this process without its loop; its children notice that."""
        with contextlib.suppress(OSError):
            os.unlink(self._start.socket)
        os._exit(0)

    async def _serve(self, waiting: asyncio.Queue[str]) -> None:
        try:
            await self._begin()
            while True:
                await self._answer(await waiting.get())
        except (CellError, FatalError, UnavailableError) as error:
            fatal(self._channel, error)

    async def _begin(self) -> None:
        endpoint = await self._server.start()
        self._channel.answer(
            "ready",
            protocol=PROTOCOL,
            pid=os.getpid(),
            worker="python",
            endpoint=endpoint,
            processes=self._server.processes(),
            interpreter=facts.interpreter(),
            gil=self._server.gil(),
            build=facts.build(),
            versions=self._server.versions(),
        )

    async def _answer(self, kind: str) -> None:
        if kind == "stats":
            self._channel.answer("stats", **await self._server.stats())
        elif kind == "reset":
            await self._server.reset()
            self._channel.answer("done")
        elif kind == "drain":
            await self._server.drain()
            self._channel.answer("done")
        else:
            raise ValueError(f"there is no request of type {kind}")


def fatal(channel: Channel, error: Exception) -> None:
    """Says why there is no server."""
    kind = "unavailable" if isinstance(error, UnavailableError) else "failed"
    channel.answer("fatal", kind=kind, message=describe(error))


def serve(channel: Channel) -> None:
    """Reads `start`, runs the server and returns when it has ended."""
    requests = channel.requests()
    request: dict[str, Any] | None = next(requests, None)
    if request is None or request["type"] == "bye":
        return
    if request["type"] != "start":
        raise ValueError("the first request must be start")
    try:
        if request.get("protocol") != PROTOCOL:
            raise FatalError(
                f"this server speaks protocol {PROTOCOL} and was asked for {request.get('protocol')}; use the worker"
                " that comes with this llmbench"
            )
        start = Start.of(request)
        server = make(start)
        loop = new_loop(start)
    except (CellError, FatalError, UnavailableError) as error:
        fatal(channel, error)
        return
    loop.run_until_complete(Control(channel, requests, start, server).serve())


def main(arguments: list[str]) -> int:
    if arguments or not os.environ.get(ANSWER_FD_VAR, "").isdigit():
        lines = (f"  {name:18} {entry.what}" for name, entry in TABLE.items())
        print(USAGE + "\n".join(lines), file=sys.stderr)
        return 2
    guard.ignore_interrupts()
    try:
        serve(Channel.open())
        code = 0
    except Exception as error:
        traceback.print_exc()
        print(one_line(f"{type(error).__name__}: {error}"), file=sys.stderr)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads that still work on requests nobody waits for would hold up an orderly end.
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
