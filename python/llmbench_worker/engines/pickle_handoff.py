"""A request as SGLang hands it to its scheduler process: a pickle, protocol 5."""

import pickle
from typing import TYPE_CHECKING

from . import Loaded

if TYPE_CHECKING:
    from ..model import Model

PROTOCOL = 5


def load(_model: "Model", _call_path: str) -> Loaded:
    dumps = pickle.dumps

    def call(item: tuple[str, list[int]]) -> bytes:
        request_id, ids = item
        return dumps({"request_id": request_id, "prompt_token_ids": ids}, PROTOCOL)

    return Loaded(call, decode=pickle.loads)
