"""The calls that a probe looks at: any pair of an engine and a call path, and the inputs that it takes."""

import json
from collections.abc import Callable
from typing import Any

from .. import digests
from ..engines import TABLE, Engines, Loaded
from ..errors import UnavailableError
from ..inputs import Inputs
from ..ops import MAKERS, Operation


def _truth(engine: Loaded, _inputs: Inputs, _params: dict) -> Operation:
    return Operation(engine.call, lambda _index: None, lambda _: digests.sha256(b""), lambda _: {"text": ""})


def _decode(engine: Loaded, inputs: Inputs, _params: dict) -> Operation:
    return Operation(
        call=engine.call,
        item=inputs.ids,
        digest=lambda text: digests.sha256(text.encode()),
        dump=lambda text: {"text": text},
        eager=False,
    )


def _json(engine: Loaded, inputs: Inputs, _params: dict) -> Operation:
    def canonical(value: object) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    return Operation(
        call=engine.call,
        item=inputs.line,
        digest=lambda value: digests.sha256(canonical(value).encode()),
        dump=lambda value: {"text": canonical(value)},
    )


KINDS: dict[str, Callable[[Loaded, Inputs, dict], Operation]] = {
    "decode": _decode,
    "json": _json,
    "probe": _truth,
    **MAKERS,
}
"""Operations by their names: those of the worker, and those that only probes look at."""


def stage(op: dict) -> str:
    """The operation that is probed: `params.operation`, or that of the pair."""
    named = (op.get("params") or {}).get("operation")
    entry = TABLE.get(pair(op))
    return named or (entry.stage if entry else "tokenize")


def pair(op: dict) -> str:
    return f"{op['engine']}/{op['call_path']}"


def operation(op: dict, inputs: Inputs, engines: Engines) -> Operation:
    """The operation of the pair itself, as its own cells have it.

    Raises:
        UnavailableError: there is no such operation or call path here.
        CellError: it did not load.
    """
    name = stage(op)
    if name not in KINDS:
        raise UnavailableError(f"the probes do not know the operation {name}; they know: {', '.join(KINDS)}")
    return KINDS[name](engines.load(pair(op), name), inputs, op.get("params") or {})


def call(op: dict, engines: Engines) -> Callable[[Any], Any]:
    """The same call without its inputs, for a process that gets them from another."""
    return engines.load(pair(op), stage(op)).call
