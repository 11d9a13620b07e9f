"""Collation with torch, where it is installed: the layout of numpy_pad."""

from typing import TYPE_CHECKING

import torch

from . import Loaded

if TYPE_CHECKING:
    from ..model import Model

MULTIPLE = 8


def call(batch: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    length = -(-max(map(len, batch)) // MULTIPLE) * MULTIPLE
    ids = torch.zeros((len(batch), length), dtype=torch.int64)
    mask = torch.zeros((len(batch), length), dtype=torch.int64)
    for row, sequence in enumerate(batch):
        ids[row, : len(sequence)] = torch.tensor(sequence, dtype=torch.int64)
        mask[row, : len(sequence)] = 1
    return ids, mask


def load(_model: "Model", _call_path: str) -> Loaded:
    return Loaded(call)
