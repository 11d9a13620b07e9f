"""The engine `probe`: calls that hold the GIL for a known share of their time, to calibrate what the probes say.

They are calls into C that spin for a given CPU time of the thread, or sleep. Called through `ctypes.PyDLL` they hold
the GIL, through `ctypes.CDLL` they release it. What ctypes itself needs, about a microsecond, is held.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..engines import Loaded
from .native import helper

if TYPE_CHECKING:
    from ..model import Model

US = 1_000

TRUTHS: dict[str, tuple[str, int, int]] = {
    "held": ("spin", 1_000, 0),
    "released": ("spin", 0, 1_000),
    "mix-30": ("spin", 300, 700),
    "mix-30-short": ("spin", 30, 70),
    "mix-30-long": ("spin", 3_000, 7_000),
    "sleep-held": ("sleep", 1_000, 0),
    "sleep-released": ("sleep", 0, 1_000),
    "hold-2ms": ("spin", 2_000, 0),
}
"""Call path to what it does, and for how long with and without the GIL, µs."""


def share(call_path: str) -> float:
    """The share of the call's time in which it holds the GIL."""
    _, held, released = TRUTHS[call_path]
    return held / (held + released)


def load(_model: "Model | None", call_path: str) -> Loaded:
    what, held_us, released_us = TRUTHS[call_path]
    library = helper()
    held, released = getattr(library.held, f"gil_{what}"), getattr(library.released, f"gil_{what}")
    return Loaded(_call(held, held_us * US, released, released_us * US))


def _call(held: Callable, held_ns: int, released: Callable, released_ns: int) -> Callable:
    if not released_ns:
        return lambda _item: held(held_ns)
    if not held_ns:
        return lambda _item: released(released_ns)

    def call(_item: object) -> None:
        held(held_ns)
        released(released_ns)

    return call
