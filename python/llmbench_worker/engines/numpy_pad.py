"""Collation with numpy: int64 ids and mask, padded to the longest, up to a multiple of 8."""

from typing import TYPE_CHECKING

import numpy as np

from . import Loaded

if TYPE_CHECKING:
    from ..model import Model

MULTIPLE = 8


def call(batch: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    length = -(-max(map(len, batch)) // MULTIPLE) * MULTIPLE
    ids = np.zeros((len(batch), length), dtype=np.int64)
    mask = np.zeros((len(batch), length), dtype=np.int64)
    for row, sequence in enumerate(batch):
        ids[row, : len(sequence)] = sequence
        mask[row, : len(sequence)] = 1
    return ids, mask


def load(_model: "Model", _call_path: str) -> Loaded:
    return Loaded(call)
