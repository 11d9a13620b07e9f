"""`decode` of `fastokens`: ids to text."""

from typing import TYPE_CHECKING

from fastokens import Tokenizer

from ..engines import Loaded

if TYPE_CHECKING:
    from ..model import Model


def load(model: "Model", _call_path: str) -> Loaded:
    decode = Tokenizer.from_file(model.tokenizer_file).decode
    return Loaded(lambda ids: decode(ids, skip_special_tokens=False))
