"""Ids come with the request: what is left of a gateway when somebody else has tokenized."""

import asyncio
import json

from .. import facts
from ..clock import now
from ..digests import ids_bytes
from ..engines import Engines
from ..errors import CellError, describe, is_caught
from ..model import Model
from .base import Request, packages, parse
from .base import Strategy as Base

CHARACTERS_PER_TOKEN = 4
"""Rough, of English; only for the length of warm-up requests."""


class Strategy(Base):
    async def start(self) -> None:
        model = Model(self.given.model, self.given.timestamp)
        engines = Engines(model, lambda _pair, call: call)
        self._collate = engines.load(str(self.given.pipeline.get("collate")), "collate").call
        for line in self.given.warm_up():
            ids = list(range(len(line) // CHARACTERS_PER_TOKEN + 1))
            self._ids(json.dumps({"prompt_token_ids": ids}).encode())
        self._call_soon = asyncio.get_running_loop().call_soon

    def versions(self) -> dict[str, str]:
        return facts.versions(packages({"collate": str(self.given.pipeline.get("collate"))}))

    def submit(self, request: Request) -> None:
        self._call_soon(self._serve, request)

    def _serve(self, request: Request) -> None:
        started = now()
        try:
            ids = self._ids(request.body)
        except BaseException as error:
            if not is_caught(error):
                raise
            request.fail(describe(error), started)
        else:
            request.done(started, ids)

    def _ids(self, body: bytes) -> bytes:
        request = parse(body)
        ids = request.get("prompt_token_ids") if isinstance(request, dict) else None
        if not isinstance(ids, list) or not ids:
            raise CellError("the request has no prompt_token_ids; send a list of at least one id")
        self._collate([ids])
        return ids_bytes(ids)
