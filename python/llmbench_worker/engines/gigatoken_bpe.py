"""`gigatoken`: the array that it returns is made a list, since that is what the other engines give."""

from pathlib import Path
from typing import TYPE_CHECKING

from gigatoken import Tokenizer

from . import Loaded

if TYPE_CHECKING:
    from ..model import Model


def load(model: "Model", _call_path: str) -> Loaded:
    # From the bytes and not from the path: from a path it would choose another class by tokenizer_config.json.
    encode = Tokenizer.from_json(Path(model.tokenizer_file).read_bytes()).encode

    def call(text: str) -> list[int]:
        return encode(text).tolist()

    return Loaded(call)
