"""`decode` and `decode_batch` of Hugging Face `tokenizers`: ids to text, one sequence a call."""

from typing import TYPE_CHECKING

from ..engines import Loaded
from ..engines.hf_tokenizers import tokenizer

if TYPE_CHECKING:
    from ..model import Model


def load(model: "Model", call_path: str) -> Loaded:
    loaded = tokenizer(model)
    if call_path == "decode_batch":
        decode_batch = loaded.decode_batch
        return Loaded(lambda ids: decode_batch([ids], skip_special_tokens=False)[0])
    decode = loaded.decode
    return Loaded(lambda ids: decode(ids, skip_special_tokens=False))
