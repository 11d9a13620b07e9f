"""The front end only passes bodies on: a process at the other end of a Unix socket does everything and returns ids.

The Python sidecar is our own server with the strategy `inline`, one process a worker; a body goes to the one that has
the fewest under way. The Rust sidecar is one process with as many workers, given as `params.command`; it speaks the
same protocol and the same frames, and its strategy is `params.sidecar_strategy` (`rust-threads` if that is not
given), with the engines that Rust has for the stages. The versions in `ready` are the sidecar's. The event-loop lag
in the stats is that of the front end.
"""

import asyncio
import contextlib
import os
import shlex
from dataclasses import replace
from itertools import count

from ..errors import CellError, FatalError, UnavailableError
from .base import Request
from .base import Strategy as Base
from .child import PYTHON, Child
from .frames import HEADER, OK, STAMPS, Splitter

RUST_PIPELINE = {"template": "minijinja/render", "tokenize": "hf-tokenizers/encode", "collate": "native/pad"}


class Strategy(Base):
    async def start(self) -> None:
        python = self.given.choice("sidecar", "python", "rust") == "python"
        self._children: list[Child] = []
        self._links: list[Link] = []
        pipeline = self.given.pipeline
        if python:
            command, strategy, processes, workers = PYTHON, "inline", self.given.workers, 1
        else:
            command, processes, workers = _command(self.given.params.get("command")), 1, self.given.workers
            strategy = str(self.given.params.get("sidecar_strategy", "rust-threads"))
            pipeline = self.given.params.get("sidecar_pipeline", RUST_PIPELINE)
        starts = [
            replace(
                self.given,
                strategy=strategy,
                workers=workers,
                pipeline=pipeline,
                params={key: value for key, value in self.given.params.items() if key == "loop"} if python else {},
                socket=f"{self.given.socket}.{index}",
            )
            for index in range(processes)
        ]
        launched = await asyncio.gather(*(Child.launch(command, start) for start in starts), return_exceptions=True)
        self._children = [child for child in launched if isinstance(child, Child)]
        for failure in launched:
            if isinstance(failure, BaseException):
                raise failure
        for start in starts:
            self._links.append(await Link.open(start.socket))

    def submit(self, request: Request) -> None:
        links = [link for link in self._links if link.is_open]
        if not links:
            raise CellError("the sidecar has ended; its stderr says why")
        min(links, key=len).send(request)

    async def stop(self) -> None:
        for link in self._links:
            link.close()
        await asyncio.gather(*(child.stop() for child in self._children))
        for link in self._links:
            with contextlib.suppress(OSError):
                os.unlink(link.path)  # by now the sidecar's own business, unless it was killed

    def processes(self) -> list[int]:
        return [os.getpid(), *(pid for child in self._children for pid in child.ready.get("processes", [child.pid]))]

    def versions(self) -> dict[str, str]:
        return self._children[0].ready.get("versions", {})

    def gil(self) -> str:
        return str(self._children[0].ready.get("gil", "none"))


def _command(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = shlex.split(value)
    if not isinstance(value, list) or not value or not all(isinstance(word, str) for word in value):
        raise UnavailableError("the Rust sidecar needs params.command, the command that starts it; give it as a list")
    return tuple(value)


class Link(asyncio.Protocol):
    """The connection to one sidecar. Answers may come in any order."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.is_open = False
        self._splitter = Splitter()
        self._under_way: dict[int, Request] = {}
        self._next = count().__next__
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(cls, path: str) -> "Link":
        loop = asyncio.get_running_loop()
        try:
            _, link = await loop.create_unix_connection(lambda: cls(path), path)
        except OSError as error:
            raise FatalError(f"the sidecar's socket {path} cannot be reached ({error})") from error
        return link

    def __len__(self) -> int:
        """Requests under way."""
        return len(self._under_way)

    def send(self, request: Request) -> None:
        # Ids are the clients' own and may meet; on this connection a request has another.
        index = self._next()
        self._under_way[index] = request
        self._transport.write(HEADER.pack(len(request.body), index) + request.body)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment] # a stream's transport
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        for index, payload in self._splitter.feed(data):
            request = self._under_way.pop(index)
            status, _, started, _ = STAMPS.unpack_from(payload)
            body = payload[STAMPS.size :]
            if status == OK:
                request.done(started, body)
            else:
                request.fail(body.decode(errors="replace"), started)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        lost, self._under_way = self._under_way, {}
        for request in lost.values():
            request.fail("the sidecar ended before it answered; its stderr says why")
