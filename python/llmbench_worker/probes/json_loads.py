"""A request line to plain objects: `json.loads` and `orjson.loads`, without validation."""

from importlib import import_module
from typing import TYPE_CHECKING

from ..engines import Loaded

if TYPE_CHECKING:
    from ..model import Model


def load(_model: "Model", call_path: str) -> Loaded:
    return Loaded(import_module(call_path.partition(".")[0]).loads)
