"""`kitoken`, with the special tokens in a text recognised."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from kitoken import Kitoken

from . import Loaded

if TYPE_CHECKING:
    from ..model import Model


def load(model: "Model", _call_path: str) -> Loaded:
    # Truncation that the file asks for would become a part of the tokenizer, so it is taken out of the file.
    definition = json.loads(Path(model.tokenizer_file).read_bytes())
    definition.update(truncation=None, padding=None)
    encode = Kitoken.from_tokenizers(json.dumps(definition).encode()).encode

    def call(text: str) -> list[int]:
        return encode(text, True)

    return Loaded(call)
