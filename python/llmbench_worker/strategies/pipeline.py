"""The work that every strategy spreads: a parsed request to its ids."""

import gc
import json
import threading
from collections.abc import Callable
from functools import cached_property
from typing import Any

from ..channel import Channel
from ..clock import now
from ..digests import ids_bytes
from ..engines import TABLE, Engines
from ..errors import CellError, FatalError, UnavailableError, describe, is_caught
from ..faults import wrapper
from ..inputs import normalized
from ..model import Model
from .start import Start

STDERR = 2

_loading = threading.Lock()
"""Engines are imported and loaded by one thread at a time: some put things in other modules' places for a moment."""

Served = tuple[int, "bytes | None", "str | None"]
"""When the service began (ns), the ids as little-endian u32, and the message if there are none."""

TEMPLATE, TOKENIZE, COLLATE = "template", "tokenize", "collate"


class OwnText(str):
    """A text that equals only itself.

    transformers keeps compiled templates, and with them their environments, in a cache by text: threads that should
    share nothing would share those. This text finds no other's entry.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other

    def __hash__(self) -> int:
        return id(self)


class OwnModel(Model):
    """A model whose engines share no object with those of another: not the tokenizer, not the compiled template."""

    @cached_property
    def template(self) -> str:
        return OwnText(super().template)


class Pipeline:
    """Template, tokenize and collate, loaded once.

    One object may be called by several threads; whether its engines bear that is what some strategies find out.
    """

    def __init__(self, start: Start, own: bool = False, template: Callable | None = None) -> None:
        """Loads it. `own`: with objects that no other pipeline has. `template` replaces the pipeline's engine.

        Raises:
            UnavailableError, CellError: an engine is not to be had, or did not load.
        """
        self._model = (OwnModel if own else Model)(start.model, start.timestamp)
        self._spec = start.pipeline
        # A pool worker has no channel; what a planted fault writes there goes to stderr.
        self._wrap = wrapper(Channel(STDERR))
        self._engines = Engines(self._model, self._wrap)
        with _loading:
            self._load(template)

    def _load(self, template: Callable | None) -> None:
        if template is None:
            loaded = self._engines.load(self._pair(TEMPLATE), TEMPLATE)
            self.template: Callable[[tuple], str] = loaded.call
            self._normalizes = loaded.normalizes
        else:
            self.template = template
            self._normalizes = False
        self._tokenize = self._engines.load(self._pair(TOKENIZE), TOKENIZE).call
        self._collate = self._engines.load(self._pair(COLLATE), COLLATE).call

    def render(self, request: Any) -> str:
        """The prompt of a parsed request."""
        if not isinstance(request, dict) or not isinstance(request.get("messages"), list):
            raise CellError("the request has no list of messages; send the body of a chat completion")
        messages = request["messages"]
        return self.template((messages if self._normalizes else normalized(messages), request.get("tools")))

    def finish(self, ids: list[int]) -> bytes:
        """Collates a batch of one, as the engine would get it, and gives the ids as the answer carries them."""
        # The arrays are freed here: where they go is another suite's question.
        self._collate([ids])
        return ids_bytes(ids)

    def __call__(self, request: Any) -> bytes:
        """Ids of a parsed request, as little-endian u32."""
        return self.finish(self._tokenize(self.render(request)))

    def ids(self, request: Any) -> list[int]:
        """The same as a list."""
        ids = self._tokenize(self.render(request))
        self._collate([ids])
        return ids

    def serve(self, request: Any) -> Served:
        """One request with its stamp; a failure of the request is in the answer, not raised."""
        started = now()
        try:
            return started, self(request), None
        except BaseException as error:
            if not is_caught(error):
                raise
            return started, None, describe(error)

    @cached_property
    def encode_batch(self) -> Callable[[list[str]], list[list[int]]]:
        """Tokenizes several texts in one call of the tokenizer, which is what lets it use its own threads.

        Raises:
            UnavailableError: the pipeline's tokenizer has no such call.
        """
        pair = self._pair(TOKENIZE)
        if TABLE[pair].packages[-1] != "tokenizers":
            raise UnavailableError(f"{pair} has no encode_batch here; use hf-tokenizers/encode with this strategy")
        from ..engines.hf_tokenizers import tokenizer

        encode_batch = tokenizer(self._model).encode_batch
        planted = self._wrap(pair, lambda ids: ids)

        def call(texts: list[str]) -> list[list[int]]:
            return [planted(encoding.ids) for encoding in encode_batch(texts, add_special_tokens=False)]

        return call

    def _pair(self, stage: str) -> str:
        pair = self._spec.get(stage)
        if not isinstance(pair, str):
            raise FatalError(f"the pipeline must name an engine and a call path for {stage}")
        return pair


def warm(serve: Callable[[Any], Any], start: Start) -> None:
    """Runs the warm-up requests.

    Raises:
        FatalError: one of them failed, so that nothing could be measured.
    """
    for line in start.warm_up():
        _started, ids, message = serve(json.loads(line))
        if ids is None:
            raise FatalError(f"a warm-up request failed: {message}")


def settle_heap() -> None:
    """Collects, and moves all that lives out of the collector's sight, as servers do once they have started."""
    gc.collect()
    gc.freeze()
