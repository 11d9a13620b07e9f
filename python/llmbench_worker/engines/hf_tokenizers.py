"""Hugging Face `tokenizers`: one text a call, nothing added, ids taken."""

from functools import cache
from typing import TYPE_CHECKING

from tokenizers import Tokenizer

from . import Loaded

if TYPE_CHECKING:
    from ..model import Model


@cache
def tokenizer(model: "Model") -> Tokenizer:
    """The tokenizer in `tokenizer.json`, the same object for every call path.

    Truncation and padding that the file may ask for are switched off, as transformers does for a plain call.
    """
    loaded = Tokenizer.from_file(model.tokenizer_file)
    loaded.no_truncation()
    loaded.no_padding()
    return loaded


def load(model: "Model", call_path: str) -> Loaded:
    loaded = tokenizer(model)
    if call_path == "encode_batch":
        encode_batch = loaded.encode_batch

        def call_batch(text: str) -> list[int]:
            return encode_batch([text], add_special_tokens=False)[0].ids

        return Loaded(call_batch)

    encode = loaded.encode

    def call(text: str) -> list[int]:
        return encode(text, add_special_tokens=False).ids

    return Loaded(call)
