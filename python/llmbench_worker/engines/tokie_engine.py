"""`tokie`: one text a call, nothing added, ids taken."""

from typing import TYPE_CHECKING

from tokie import Tokenizer

from . import Loaded

if TYPE_CHECKING:
    from ..model import Model


def load(model: "Model", _call_path: str) -> Loaded:
    loaded = Tokenizer.from_json(model.tokenizer_file)
    loaded.no_truncation()
    loaded.no_padding()
    encode = loaded.encode

    def call(text: str) -> list[int]:
        return encode(text, add_special_tokens=False).ids

    return Loaded(call)
