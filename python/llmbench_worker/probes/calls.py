"""The calls that a probe looks at: any pair of an engine and a call path, and the inputs that it takes."""

from collections.abc import Callable
from typing import Any

from .. import digests
from ..engines import TABLE, Engines
from ..errors import UnavailableError
from ..inputs import Inputs
from ..ops import MAKERS, Operation

TRUTH = "probe"
"""Stage and engine of the calls of known truth."""


def stage(op: dict) -> str:
    """The operation that is probed: `params.operation`, or that of the pair."""
    named = (op.get("params") or {}).get("operation")
    entry = TABLE.get(pair(op))
    return named or (entry.stage if entry else "engine")


def pair(op: dict) -> str:
    return f"{op['engine']}/{op['call_path']}"


def operation(op: dict, inputs: Inputs, engines: Engines) -> Operation:
    """The operation of the pair itself, as its own cells have it.

    Raises:
        UnavailableError: there is no such operation or call path here.
        CellError: it did not load.
    """
    name = stage(op)
    if name != TRUTH and name not in MAKERS and pair(op) in TABLE:
        raise UnavailableError(f"the probes do not know the operation {name}; they know: {', '.join((*MAKERS, TRUTH))}")
    engine = engines.load(pair(op), stage=name if name in MAKERS or name == TRUTH else None)
    if name == TRUTH:
        return Operation(engine.call, lambda _index: None, _digest_nothing, lambda _result: {"text": ""})
    return MAKERS[name](engine, inputs, op.get("params") or {})


def call(op: dict, engines: Engines) -> Callable[[Any], Any]:
    """The same call without its inputs, for a process that gets them from another."""
    return engines.load(pair(op), stage=stage(op)).call


def _digest_nothing(_result: object) -> str:
    return digests.sha256(b"")
