"""A server process of our own as a child: started, asked and stopped by the protocol that the harness speaks."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from dataclasses import asdict
from typing import Any

from .. import PROTOCOL
from ..channel import ANSWER_FD_VAR
from ..errors import FatalError, UnavailableError
from .start import Start

STOP_PATIENCE_S = 3.0

PYTHON = (sys.executable, "-m", "llmbench_worker.serve")


class Child:
    """One server process. Its stdin is a pipe of ours, at whose end it ends."""

    @classmethod
    async def launch(cls, command: tuple[str, ...], start: Start) -> "Child":
        """Starts it and waits until it is ready.

        Raises:
            UnavailableError, FatalError: it says so, or it cannot be started, or it ended.
        """
        read, write = os.pipe()
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, pass_fds=(write,), env={**os.environ, ANSWER_FD_VAR: str(write)}
            )
        except OSError as error:
            os.close(read)
            raise FatalError(f"the process {command[0]} cannot be started ({error}); check params.command") from error
        finally:
            os.close(write)
        answers = asyncio.StreamReader(limit=1 << 24)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(answers), os.fdopen(read, "rb", 0))
        child = cls(process, answers, command[0])
        try:
            child.ready = await child.ask("start", protocol=PROTOCOL, **asdict(start))
        except BaseException:
            await child.stop()
            raise
        return child

    def __init__(self, process: subprocess.Popen, answers: asyncio.StreamReader, name: str) -> None:
        self._process = process
        self._answers = answers
        self._name = name
        self.ready: dict[str, Any] = {}

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, kind: str, /, **fields: object) -> dict[str, Any]:
        """Sends a request and returns its answer."""
        with contextlib.suppress(BrokenPipeError):
            self._send(kind, **fields)
        line = await self._answers.readline()
        if not line:
            raise FatalError(f"the process {self._name} ended before it answered {kind}; its stderr says why")
        answer = json.loads(line)
        if answer["type"] == "fatal":
            raise (UnavailableError if answer.get("kind") == "unavailable" else FatalError)(answer["message"])
        return answer

    async def stop(self) -> None:
        """Asks it to end, kills it if it does not, and reaps it."""
        with contextlib.suppress(OSError):
            self._send("bye")
            self._process.stdin.close()
        try:
            # At the end of its answers it has ended, or is about to.
            await asyncio.wait_for(self._answers.read(), STOP_PATIENCE_S)
            await asyncio.get_running_loop().run_in_executor(None, self._process.wait, STOP_PATIENCE_S)
        except (asyncio.TimeoutError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()

    def _send(self, kind: str, /, **fields: object) -> None:
        stdin = self._process.stdin
        stdin.write(json.dumps({"type": kind, **fields}).encode() + b"\n")
        stdin.flush()
