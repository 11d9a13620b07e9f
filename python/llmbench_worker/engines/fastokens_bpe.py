"""`fastokens`: one text a call, nothing added; without its optional caches, with the one of words that it always has.

It splits one long text over threads of its own unless FASTOKENS_BPE_THREADS=1 is set before the process starts.
"""

from typing import TYPE_CHECKING

from fastokens import Tokenizer

from . import Loaded

if TYPE_CHECKING:
    from ..model import Model


def load(model: "Model", call_path: str) -> Loaded:
    loaded = Tokenizer.from_file(model.tokenizer_file)
    loaded.no_truncation()
    loaded.no_padding()
    if call_path == "encode_batch":
        encode_batch = loaded.encode_batch

        def call_batch(text: str) -> list[int]:
            return encode_batch([text])[0].ids

        return Loaded(call_batch)
    encode = loaded.encode

    def call(text: str) -> list[int]:
        return encode(text).ids

    return Loaded(call)
