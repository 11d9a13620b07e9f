"""Templates in subinterpreters, each with a GIL of its own; tokenizing and collating in the main interpreter.

Only the templates, because an extension module must declare that it bears several interpreters before one other than
the main one may import it, and those of the tokenizers (and numpy) do not: the import raises ImportError. jinja2 is
Python, and what it needs of C either declares it or has a substitute. transformers imports tokenizers, so the
template engine must be jinja2.

Each worker thread has a subinterpreter, in which a second thread waits at a pair of sockets: messages come as a
pickle and the text goes back as UTF-8. The threads' tokenizing competes for the main interpreter's GIL.
"""

import asyncio
import pickle
import socket
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any

from ..errors import CellError, UnavailableError
from .base import Request, parse
from .base import Strategy as Base
from .executor import warmed_pool
from .interpreter import receive, send
from .pipeline import TEMPLATE, Pipeline, Served, warm
from .start import Start

PAIR = "jinja2/render"

SCRIPT = """
import sys
sys.path[:] = {path!r}
from llmbench_worker.strategies.interpreter import render_at
render_at({fd}, {model!r}, {timestamp!r})
"""


class Strategy(Base):
    async def start(self) -> None:
        run = _runner()
        if self.given.pipeline.get(TEMPLATE) != PAIR:
            raise UnavailableError(
                f"a subinterpreter cannot import what {self.given.pipeline.get(TEMPLATE)} needs: tokenizers, whose"
                f" extension supports the main interpreter only; use {PAIR}"
            )
        self._local = threading.local()
        tokenizing = Pipeline(self.given, template=self._render)
        self._pool = warmed_pool(self.given.workers, lambda: self._prepare(run, tokenizing))
        self._tokenizing = tokenizing
        self._run = asyncio.get_running_loop().run_in_executor

    def submit(self, request: Request) -> None:
        job = parse(request.body)
        self._run(self._pool, self._serve, job).add_done_callback(request.settle)

    def _prepare(self, run: Callable[[str], None], tokenizing: Pipeline) -> None:
        self._local.render = Renderer(run, self.given)
        warm(tokenizing.serve, self.given)

    def _render(self, chat: tuple[list[dict], list[dict] | None]) -> str:
        return self._local.render(chat)

    def _serve(self, job: Any) -> Served:
        return self._tokenizing.serve(job)


class Renderer:
    """The main interpreter's end of a subinterpreter that renders. For one thread."""

    def __init__(self, run: Callable[[str], None], start: Start) -> None:
        """Raises: CellError: the subinterpreter ended at once."""
        self._ours, self._theirs = socket.socketpair()
        self._failure = ""
        code = SCRIPT.format(
            path=sys.path, fd=self._theirs.fileno(), model=dict(start.model), timestamp=start.timestamp
        )
        threading.Thread(target=self._host, args=(run, code), name="subinterpreter", daemon=True).start()

    def __call__(self, chat: tuple[list[dict], list[dict] | None]) -> str:
        try:
            send(self._ours, pickle.dumps(chat, 5), False)
            data, failed = receive(self._ours)
        except (OSError, EOFError):
            raise CellError(f"a subinterpreter ended ({self._failure or 'it said nothing'})") from None
        if failed:
            raise CellError(data.decode())
        return data.decode()

    def _host(self, run: Callable[[str], None], code: str) -> None:
        try:
            run(code)
        except BaseException as error:
            self._failure = f"{type(error).__name__}: {error}"
        finally:
            self._theirs.shutdown(socket.SHUT_RDWR)


def _runner() -> Callable[[str], None]:
    """A function that runs code in a new subinterpreter with a GIL of its own, in the calling thread.

    Raises: UnavailableError: this Python has none.
    """
    if sys.version_info >= (3, 14):
        interpreters = import_module("concurrent.interpreters")
        return lambda code: interpreters.create().exec(code)
    if sys.version_info >= (3, 13):
        low = import_module("_interpreters")

        def run(code: str) -> None:
            failure = low.exec(low.create("isolated"), code)
            if failure is not None:
                raise RuntimeError(failure.formatted)

        return run
    if sys.version_info >= (3, 12):
        low = import_module("_xxsubinterpreters")
        return lambda code: low.run_string(low.create(isolated=True), code)
    raise UnavailableError(
        f"Python {sys.version_info[0]}.{sys.version_info[1]} has one GIL for all its interpreters; use Python 3.12 or"
        " later for this strategy"
    )
