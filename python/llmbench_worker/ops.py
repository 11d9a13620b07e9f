"""The operations that a cell can time: what a call gets, what it does, and what its result says.

An operation never prepares its input inside the call; it never hashes inside the call either.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import digests
from .batch import batch, warm
from .engines import Engines, Loaded
from .errors import CellError, UnavailableError
from .inputs import Inputs, normalized

PROBES = ("hold", "victim")
"""Operations of the package `probes`."""

Output = dict[str, Any]
"""`{"text": …}` or `{"ids": […]}`, as `dump` answers it."""


@dataclass(frozen=True)
class Operation:
    """One operation on one workload."""

    call: Callable[[Any], Any]
    """The timed part."""
    item: Callable[[int], Any]
    """The input of the call that works on that request (of the pool or of the warm-up requests)."""
    digest: Callable[[Any], str]
    """SHA-256 of a result, comparable across engines and languages."""
    dump: Callable[[Any], Output]
    """A result in full."""
    stages: Callable[[Any], dict[str, int]] = lambda _result: {}
    """What a result says about its stages, ns."""
    warm_pool: Callable[[Callable[[], int], int], int] = lambda _next_index, _duration_ns: 0
    """Untimed calls in every thread of the operation's own pool, on the requests that the first argument gives, for so
    many ns each; returns the time of all, ns."""
    eager: bool = True
    """Whether all inputs are made in `prepare`; else each block makes those that it needs, before its first stamp."""


def make(op: dict, inputs: Inputs, engines: Engines) -> Operation:
    """The operation that the request's `op` describes.

    Raises:
        UnavailableError: there is no such operation or call path here.
        CellError: a parameter is missing or wrong, or an engine did not load.
    """
    name = op["name"]
    params = op.get("params") or {}
    if name == "total":
        return _total(inputs, engines, params)
    if name == "batch":
        return _batch(op, inputs, engines, params)
    if name in PROBES:
        from . import probes  # they look at other operations, and so import this module

        return probes.make(op, inputs, engines)
    maker = MAKERS.get(name)
    if maker is None:
        raise UnavailableError(
            f"the Python worker has no operation {name}; it has: {', '.join((*MAKERS, 'total', 'batch', *PROBES))}"
        )
    return maker(engines.load(f"{op['engine']}/{op['call_path']}", stage=name), inputs, params)


def _parse(engine: Loaded, inputs: Inputs, _params: dict) -> Operation:
    return Operation(
        call=engine.call,
        item=inputs.line,
        digest=lambda request: digests.sha256(digests.messages_bytes(request.messages)),
        dump=lambda request: {"text": digests.messages_bytes(request.messages).replace(b"\0", b"\n").decode()},
    )


def _template(engine: Loaded, inputs: Inputs, _params: dict) -> Operation:
    return Operation(
        call=engine.call,
        item=inputs.chat,
        digest=lambda text: digests.sha256(text.encode()),
        dump=lambda text: {"text": text},
    )


def _tokenize(engine: Loaded, inputs: Inputs, _params: dict) -> Operation:
    return Operation(
        call=engine.call,
        item=inputs.text,
        digest=lambda ids: digests.sha256(digests.ids_bytes(ids)),
        dump=lambda ids: {"ids": ids},
    )


def _collate(engine: Loaded, inputs: Inputs, params: dict) -> Operation:
    count = _positive(params, "batch", 1)
    return Operation(
        call=engine.call,
        item=lambda index: [inputs.ids(each) for each in inputs.following(index, count)],
        digest=lambda result: digests.sha256(digests.batch_bytes(*result)),
        dump=lambda result: {"ids": digests.batch_ids(result[0])},
        eager=False,
    )


def _handoff(engine: Loaded, inputs: Inputs, _params: dict) -> Operation:
    def ids(message: bytes) -> list[int]:
        return engine.decode(message)["prompt_token_ids"]

    return Operation(
        call=engine.call,
        item=lambda index: (str(index), inputs.ids(index)),
        digest=lambda message: digests.sha256(digests.ids_bytes(ids(message))),
        dump=lambda message: {"ids": ids(message)},
        eager=False,
    )


MAKERS: dict[str, Callable[[Loaded, Inputs, dict], Operation]] = {
    "parse": _parse,
    "template": _template,
    "tokenize": _tokenize,
    "collate": _collate,
    "handoff": _handoff,
}


def _total(inputs: Inputs, engines: Engines, params: dict) -> Operation:
    """One request from its bytes to the bytes that an engine process gets, without stamps in between."""
    stages = {stage: engines.load(_pair(params, stage), stage) for stage in MAKERS}
    parse, tokenize, collate, handoff = (stages[name].call for name in ("parse", "tokenize", "collate", "handoff"))
    render = stages["template"].call
    if stages["template"].normalizes:
        template = render
    else:

        def template(chat: tuple) -> str:
            messages, tools = chat
            return render((normalized(messages), tools))

    def call(item: tuple[str, bytes]) -> tuple[bytes, Any]:
        request_id, line = item
        request = parse(line)
        ids = tokenize(template((request.messages, request.tools)))
        padded = collate([ids])
        return handoff((request_id, ids)), padded

    def sent(result: tuple[bytes, Any]) -> list[int]:
        return stages["handoff"].decode(result[0])["prompt_token_ids"]

    return Operation(
        call=call,
        item=lambda index: (str(index), inputs.line(index)),
        digest=lambda result: digests.sha256(digests.ids_bytes(sent(result))),
        dump=lambda result: {"ids": sent(result)},
    )


def _batch(op: dict, inputs: Inputs, engines: Engines, params: dict) -> Operation:
    """A batch of requests made ready by a pool of threads; see `batch.batch`."""
    count = _positive(params, "batch", 64)
    template, tokenize, collate = (
        engines.load(_pair(params, stage), stage).call for stage in ("template", "tokenize", "collate")
    )
    threads = _positive(op, "threads", 1)
    return Operation(
        call=batch(str(params.get("mode")), threads, template, tokenize, collate),
        item=lambda index: [inputs.chat(each) for each in inputs.following(index, count)],
        digest=lambda result: digests.sha256(digests.batch_bytes(*result[0])),
        dump=lambda result: {"ids": digests.batch_ids(result[0][0])},
        stages=lambda result: result[1],
        warm_pool=lambda next_index, duration_ns: warm(
            threads, template, tokenize, lambda: inputs.chat(next_index()), duration_ns
        ),
    )


def _pair(params: dict, stage: str) -> str:
    pair = params.get(stage)
    if not isinstance(pair, str):
        raise CellError(f"the operation's parameter {stage} must name an engine and a call path")
    return pair


def _positive(values: dict, name: str, default: int) -> int:
    value = values.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise CellError(f"{name} must be a positive whole number, not {value!r}")
    return value
