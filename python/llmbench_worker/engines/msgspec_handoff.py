"""A request as vLLM hands it to its engine process: MessagePack by msgspec."""

from typing import TYPE_CHECKING

from msgspec import msgpack

from . import Loaded

if TYPE_CHECKING:
    from ..model import Model


def load(_model: "Model", _call_path: str) -> Loaded:
    encode = msgpack.encode

    def call(item: tuple[str, list[int]]) -> bytes:
        request_id, ids = item
        return encode({"request_id": request_id, "prompt_token_ids": ids})

    return Loaded(call, decode=msgpack.decode)
