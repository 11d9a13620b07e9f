"""`tiktoken`, where the model's vocabulary is one of its own; the encoding is made from files, never fetched."""

from base64 import b64decode
from typing import TYPE_CHECKING

from tiktoken import Encoding

from ..errors import UnavailableError
from . import Loaded

if TYPE_CHECKING:
    from ..model import Model


def ranks(path: str) -> dict[bytes, int]:
    """Token to rank, from a `.tiktoken` file: base64 of the token's bytes, a space, its rank."""
    with open(path, "rb") as file:
        return {b64decode(token): int(rank) for token, rank in (line.split() for line in file if line.strip())}


def load(model: "Model", _call_path: str) -> Loaded:
    vocabulary = model.tiktoken
    if vocabulary is None:
        raise UnavailableError(
            "tiktoken has no vocabulary by which this model tokenizes; use a model whose vocabulary is one of its own,"
            " such as the built-in one"
        )
    encode = Encoding(
        vocabulary["name"],
        pat_str=vocabulary["pattern"],
        mergeable_ranks=ranks(vocabulary["ranks"]),
        special_tokens=vocabulary["special_tokens"],
    ).encode

    def call(text: str) -> list[int]:
        return encode(text, allowed_special="all")

    return Loaded(call)
