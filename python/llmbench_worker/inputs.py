"""The inputs of cells: two files that the parent wrote, shared by all cells that name them."""

import json
from collections.abc import Callable
from pathlib import Path

from .errors import CellError

REASONING_NAMES = ("reasoning_content", "thinking", "reasoning")
"""Names under which clients send a message's reasoning, the standard one first."""


class Inputs:
    """Requests and prompts of one workload. `pool` requests that are measured, then `warmup` others for warming up."""

    def __init__(self, requests: Path, texts: Path, pool: int, warmup: int, tokenize: Callable[[], Callable]) -> None:
        """`tokenize()` gives the function that turns a text into ids, for the ops that start from ids.

        Raises:
            CellError: the files do not hold as many lines as `pool` and `warmup` say.
        """
        if pool < 1:
            raise CellError("the pool of a workload must hold at least one request")
        self.pool = pool
        self.warmup = warmup
        self.lines = _lines(requests, pool + warmup)
        self._texts = _Lazy(pool + warmup, _lines(texts, pool + warmup), json.loads)
        self._chats = _Lazy(pool + warmup, self.lines, _chat)
        self._tokenize = tokenize
        self._ids: list[list[int] | None] = [None] * (pool + warmup)

    def line(self, index: int) -> bytes:
        """The request as a client sent it."""
        return self.lines[index]

    def chat(self, index: int) -> tuple[list[dict], list[dict] | None]:
        """Messages and tools, as `normalized` leaves them."""
        return self._chats[index]

    def text(self, index: int) -> str:
        """The rendered prompt."""
        return self._texts[index]

    def ids(self, index: int) -> list[int]:
        """The prompt's ids by hf-tokenizers `encode`. Made at the first use, since it takes long for long prompts."""
        ids = self._ids[index]
        if ids is None:
            ids = self._ids[index] = self._tokenize()(self.text(index))
        return ids

    def following(self, index: int, count: int) -> list[int]:
        """`count` indices from `index` on, cyclically within the pool or within the warm-up requests."""
        if index < self.pool:
            return [(index + step) % self.pool for step in range(count)]
        return [self.pool + (index - self.pool + step) % self.warmup for step in range(count)]


class _Lazy:
    def __init__(self, count: int, lines: list[bytes], convert: Callable) -> None:
        self._values: list = [None] * count
        self._lines = lines
        self._convert = convert

    def __getitem__(self, index: int):
        value = self._values[index]
        if value is None:
            value = self._values[index] = self._convert(self._lines[index])
        return value


def _lines(path: Path, count: int) -> list[bytes]:
    lines = path.read_bytes().split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    if len(lines) < count:
        raise CellError(f"{path.name} holds {len(lines)} lines where {count} are needed; it may be truncated")
    return lines


def _chat(line: bytes) -> tuple[list[dict], list[dict] | None]:
    request = json.loads(line)
    return normalized(request["messages"]), request.get("tools")


def normalized(messages: list[dict]) -> list[dict]:
    """Messages as a chat template gets to see them.

    transformers does the same inside `apply_chat_template` (5.23 does, 5.20 does not): a key whose value is null is
    dropped, and reasoning is given under its standard name and as `thinking`, whatever name the client used. Doing it
    to the inputs too changes nothing there, and gives every engine and every version the same variables.
    """
    result = []
    for message in messages:
        kept = {key: value for key, value in message.items() if value is not None}
        reasoning = next((kept[name] for name in REASONING_NAMES if name in kept), None)
        if reasoning is not None:
            kept = {"thinking": reasoning, **kept, "reasoning_content": reasoning}
        result.append(kept)
    return result
