"""Every request on the event loop itself: what a handler does that calls the tokenizer without a thought."""

import asyncio

from ..clock import now
from ..errors import describe, is_caught
from .base import Request, parse
from .base import Strategy as Base
from .pipeline import Pipeline, warm


class Strategy(Base):
    async def start(self) -> None:
        self._pipeline = Pipeline(self.given)
        warm(self._pipeline.serve, self.given)
        self._call_soon = asyncio.get_running_loop().call_soon

    def submit(self, request: Request) -> None:
        # A turn of the loop of its own, as a handler's task has.
        self._call_soon(self._serve, request)

    def _serve(self, request: Request) -> None:
        started = now()
        try:
            ids = self._pipeline(parse(request.body))
        except BaseException as error:
            if not is_caught(error):
                raise
            request.fail(describe(error), started)
        else:
            request.done(started, ids)
