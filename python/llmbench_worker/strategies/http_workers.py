"""N server processes on one port, real HTTP: uvicorn or granian, each worker with everything on its event loop.

uvicorn: N processes share a listening socket, as its own `--workers` does it (without its supervisor, which would
restart a worker that we want to see fail). granian: its own main process and its own workers.
"""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict
from importlib.util import find_spec
from typing import Any

from .. import facts
from ..errors import FatalError, UnavailableError, missing
from .base import Server as Base
from .base import packages
from .http_app import CONTROL_VAR, START_VAR
from .lag import summary
from .start import Start

POLL_S = 0.05
STOP_PATIENCE_S = 3.0
LINE_LIMIT = 1 << 28
"""Bytes of an answer, which carries the lateness of every beat since the reset."""


class Server(Base):
    def __init__(self, start: Start) -> None:
        self._start = start
        self._server = start.choice("server", "uvicorn", "granian")
        self._loop_name = start.choice("loop", "asyncio", "uvloop")
        for package in (self._server, self._loop_name):
            if find_spec(package) is None:
                raise missing(package)
        self._control_path = f"{start.socket}.control"
        self._processes: list[subprocess.Popen] = []
        self._workers: list[Worker] = []
        self._hello: asyncio.Queue[Worker] = asyncio.Queue()

    async def start(self) -> str:
        try:
            self._control = await asyncio.start_unix_server(self._greet, self._control_path, limit=LINE_LIMIT)
        except OSError as error:
            raise FatalError(
                f"the socket {self._control_path} cannot be opened ({error}); use a short path in your own folder"
            ) from error
        # Bound here until the end, so that nobody else gets the port; granian binds it again beside us.
        self._port = socket.socket()
        if self._server == "granian":
            self._port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._port.bind(("127.0.0.1", 0))
        port = self._port.getsockname()[1]
        workers = self._start.workers
        if self._server == "uvicorn":
            self._port.listen(2048)
            fd = self._port.fileno()
            for _ in range(workers):
                self._launch(["uvicorn", str(fd)], (fd,))
        else:
            self._launch(["granian", str(port), str(workers)], ())
        while len(self._workers) < workers:
            self._workers.append(await self._next())
        await self._listening(port)
        return f"http://127.0.0.1:{port}"

    async def stats(self) -> dict[str, Any]:
        answers = await self._ask("stats")
        late = [late for answer in answers for late in answer["late_ns"]]
        counts = {
            name: sum(answer[name] for answer in answers) for name in ("received", "answered", "failed", "in_flight")
        }
        by_process = [answer["answered"] for answer in answers]
        return {**counts, "loop_lag": summary(late), "by_process": by_process}

    async def reset(self) -> None:
        await self._ask("reset")

    async def drain(self) -> None:
        await self._ask("drain")

    async def stop(self) -> None:
        for process in self._processes:
            process.terminate()
        run = asyncio.get_running_loop().run_in_executor
        for process in self._processes:
            try:
                await run(None, process.wait, STOP_PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for worker in self._workers:
            worker.close()
        if hasattr(self, "_control"):
            self._control.close()
        with contextlib.suppress(OSError):
            os.unlink(self._control_path)

    def processes(self) -> list[int]:
        pids = [worker.hello["pid"] for worker in self._workers]
        return [os.getpid(), *pids, *(process.pid for process in self._processes if process.pid not in pids)]

    def gil(self) -> str:
        return self._workers[0].hello["gil"] if self._workers else facts.gil()

    def versions(self) -> dict[str, str]:
        used = [self._server]
        if self._workers:
            used += [self._workers[0].hello["http"], self._workers[0].hello["loop"]]
        return facts.versions(packages(self._start.pipeline) + used)

    def _launch(self, arguments: list[str], fds: tuple[int, ...]) -> None:
        environment = {
            **os.environ,
            CONTROL_VAR: self._control_path,
            START_VAR: json.dumps(asdict(self._start)),
        }
        command = [sys.executable, "-m", "llmbench_worker.strategies.http_server", str(os.getpid()), self._loop_name]
        self._processes.append(
            subprocess.Popen([*command, *arguments], stdin=subprocess.DEVNULL, pass_fds=fds, env=environment)
        )

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        if line:
            await self._hello.put(Worker(reader, writer, json.loads(line)))

    async def _next(self) -> "Worker":
        """The next worker that says hello. Raises what it failed with, or that a process ended without a word."""
        while True:
            try:
                worker = await asyncio.wait_for(self._hello.get(), POLL_S)
            except asyncio.TimeoutError:
                for process in self._processes:
                    if process.poll() is not None and self._hello.empty():
                        raise FatalError(
                            f"a process of {self._server} ended with status {process.returncode} before it was ready;"
                            " its stderr says why"
                        ) from None
                continue
            if worker.hello["type"] == "fatal":
                kind = UnavailableError if worker.hello["kind"] == "unavailable" else FatalError
                raise kind(worker.hello["message"])
            return worker

    async def _listening(self, port: int) -> None:
        """Waits until the port takes connections: a worker says hello just before its server listens."""
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                if any(process.poll() is not None for process in self._processes):
                    raise FatalError(f"{self._server} ended before it listened; its stderr says why") from None
                await asyncio.sleep(POLL_S)
            else:
                writer.close()
                return

    async def _ask(self, kind: str) -> list[dict]:
        """The answers of all workers that are still there."""
        answers = await asyncio.gather(*(worker.ask(kind) for worker in self._workers))
        if all(answer is None for answer in answers):
            raise FatalError(f"no worker of {self._server} is left; its stderr says why")
        return [answer for answer in answers if answer is not None]


class Worker:
    """The parent's end of one worker's control connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hello: dict) -> None:
        self._reader = reader
        self._writer = writer
        self.hello = hello

    async def ask(self, kind: str) -> dict | None:
        try:
            self._writer.write(json.dumps({"type": kind}).encode() + b"\n")
            line = await self._reader.readline()
        except OSError:
            return None
        return json.loads(line) if line else None

    def close(self) -> None:
        self._writer.close()
