"""The worker: takes requests, one at a time, and answers them."""

import gc
import os
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path

from . import PROTOCOL, clock, facts, faults, ops, timing
from .channel import Channel
from .engines import TABLE, Engines
from .errors import CellError, FatalError, UnavailableError, describe, is_caught
from .inputs import Inputs
from .model import Model

IDS_PAIR = "hf-tokenizers/encode"
"""The call path that makes the ids which collate and handoff start from."""


@dataclass
class Cell:
    """A cell that was prepared."""

    op: dict
    timing: dict
    inputs: Inputs
    operation: ops.Operation
    threads: timing.WindowThreads | None = None
    """Those of a window."""
    calls: list[timing.Call] = field(default_factory=list)
    """What each of them calls: the operation's call, or one of its own on objects of its own."""
    warm_calls: count = field(default_factory=count)

    def items(self, offset: int, calls: int) -> list:
        """The inputs of `calls` calls from request `offset` on; no more than the pool holds, to be cycled through."""
        indices = self.inputs.following(offset % self.inputs.pool, min(calls, self.inputs.pool))
        return [self.operation.item(index) for index in indices]

    def warm_index(self) -> int:
        """The request of the next untimed call: those for warming up in turn."""
        if self.inputs.warmup < 1:
            raise CellError("the workload holds no warm-up requests; give it some, or set the warm-up time to 0")
        return self.inputs.pool + next(self.warm_calls) % self.inputs.warmup

    def warm_item(self) -> object:
        """Its input."""
        return self.operation.item(self.warm_index())

    def warm(self, duration_ns: int) -> int:
        """Untimed calls for that long in every thread that will be timed; 0: none. Returns their time, ns."""
        if duration_ns <= 0:
            return 0
        if self.threads is not None:
            return self.threads.warm(self.calls, self.warm_item, duration_ns)
        return timing.call_for(self.operation.call, self.warm_item, duration_ns)


class Worker:
    """State of one worker process."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._model: Model | None = None
        self._cells: dict[str, Cell] = {}
        self._inputs: dict[tuple, Inputs] = {}
        self._threads: dict[int, timing.WindowThreads] = {}

    def serve(self) -> None:
        """Answers requests until `bye` or the end of the input, or until it had to answer `fatal`."""
        for request in self._channel.requests():
            kind = request["type"]
            if kind == "bye":
                return
            if kind == "hello":
                try:
                    self._hello(request)
                except FatalError as error:
                    self._channel.answer("fatal", kind="failed", message=describe(error))
                    return
            elif kind in ("prepare", "block", "dump"):
                self._cell(request)
            else:
                raise ValueError(f"there is no request of type {kind}")

    def _hello(self, request: dict) -> None:
        if request["protocol"] != PROTOCOL:
            raise FatalError(
                f"this worker speaks protocol {PROTOCOL} and was asked for {request['protocol']}; use the worker that"
                " comes with this llmbench"
            )
        pairs = request["engines"]
        self._given = (request["model"], request["timestamp"])
        self._model = Model(*self._given)
        self._engines = Engines(self._model, faults.wrapper(self._channel))
        unavailable = self._engines.unavailable(pairs)
        self._settle_heap()
        packages = {package for pair in pairs if pair in TABLE for package in TABLE[pair].packages}
        self._channel.answer(
            "ready",
            protocol=PROTOCOL,
            pid=os.getpid(),
            worker="python",
            interpreter=facts.interpreter(),
            gil=facts.gil(),
            build=facts.build(),
            versions=facts.versions(sorted(packages)),
            unavailable=unavailable,
            load_ns=clock.age_ns(),
            clock_pair_ns=clock.pair_ns(),
            loop_overhead_ns=clock.loop_overhead_ns(),
        )

    def _cell(self, request: dict) -> None:
        if self._model is None:
            raise ValueError("the first request must be hello")
        cell_id = request["cell_id"]
        try:
            getattr(self, f"_{request['type']}")(cell_id, request)
        except BaseException as error:
            if not is_caught(error):
                raise
            kind = "unavailable" if isinstance(error, UnavailableError) else "failed"
            self._channel.answer("error", cell_id=cell_id, kind=kind, message=describe(error))

    def _prepare(self, cell_id: str, request: dict) -> None:
        op = request["op"]
        inputs = self._load_inputs(request["inputs"])
        cell = Cell(op, request["timing"], inputs, ops.make(op, inputs, self._engines))
        if cell.timing["kind"] == "window":
            cell.threads = self._window_threads(op["threads"])
            cell.calls = self._calls(cell)
        if cell.operation.eager:
            for index in range(inputs.pool + inputs.warmup):
                cell.operation.item(index)
        self._settle_heap()
        calls, item, digest = cell.calls or [cell.operation.call], cell.operation.item, cell.operation.digest
        checks = range(min(request["check"], inputs.pool))
        hashes = [digest(calls[index % len(calls)](item(index))) for index in checks]
        warm_ns = cell.warm(request["warmup_ns"])
        if request["warmup_ns"] > 0:
            warm_ns += cell.operation.warm_pool(cell.warm_index, request["warmup_ns"])
        self._cells[cell_id] = cell
        if request["check"]:
            self._channel.answer("check", cell_id=cell_id, hashes=hashes)
        self._channel.answer("done", cell_id=cell_id, warm_ns=warm_ns)

    def _block(self, cell_id: str, request: dict) -> None:
        cell = self._prepared(cell_id)
        kind = cell.timing["kind"]
        loops, offset = request["loops"], request["offset"]
        operation = cell.operation
        hashes = None
        if kind == "window":
            threads = cell.threads
            pool = cell.inputs.pool
            parts = [cell.items(offset + index * pool // threads.count, pool) for index in range(threads.count)]
            warm_ns = cell.warm(request["settle_ns"])
            samples = [threads.time(cell.calls, parts, cell.timing["window_ns"])]
        elif kind == "first":
            (item,) = cell.items(offset, 1)
            warm_ns = 0
            sample, result = timing.time_first(operation.call, item)
            samples, hashes = [sample], [operation.digest(result)]
        else:
            if loops < 1:
                raise CellError("a block must have at least one loop")
            items = cell.items(offset, loops)
            warm_ns = cell.warm(request["settle_ns"])
            if kind == "loop":
                samples = [timing.time_loop(operation.call, items, loops)]
            elif kind == "each":
                samples = timing.time_each(operation.call, items, loops, operation.stages)
            else:
                raise CellError(f"the Python worker has no timing of kind {kind}")
        for sample in samples:
            self._channel.answer("sample", cell_id=cell_id, block=request["block"], **asdict(sample))
        if hashes is not None:
            self._channel.answer("check", cell_id=cell_id, hashes=hashes)
        self._channel.answer("done", cell_id=cell_id, warm_ns=warm_ns)

    def _dump(self, cell_id: str, request: dict) -> None:
        cell = self._prepared(cell_id)
        index = request["index"]
        if index >= cell.inputs.pool:
            raise CellError(f"there is no request {index} in a pool of {cell.inputs.pool}")
        output = cell.operation.dump(cell.operation.call(cell.operation.item(index)))
        self._channel.answer("dump", cell_id=cell_id, index=index, output=output)

    def _prepared(self, cell_id: str) -> Cell:
        cell = self._cells.get(cell_id)
        if cell is None:
            raise CellError(f"the cell {cell_id} was not prepared in this worker; prepare it first")
        return cell

    def _load_inputs(self, request: dict) -> Inputs:
        key = (request["requests"], request["texts"], request["pool"], request["warmup"])
        inputs = self._inputs.get(key)
        if inputs is None:
            inputs = self._inputs[key] = Inputs(
                Path(key[0]), Path(key[1]), key[2], key[3], tokenize=lambda: self._tokenize
            )
        return inputs

    @cached_property
    def _tokenize(self):
        return Engines(self._model, lambda _pair, call: call).load(IDS_PAIR).call

    def _calls(self, cell: Cell) -> list[timing.Call]:
        """What each thread of a window calls.

        By default all threads share the engine's objects, as a server with one tokenizer does. With `objects` set to
        `per-thread` each has objects that were loaded for it alone.
        """
        objects = (cell.op.get("params") or {}).get("objects", "shared")
        if objects == "shared":
            return [cell.operation.call] * cell.threads.count
        if objects != "per-thread":
            raise CellError(f"objects must be shared or per-thread, not {objects!r}")
        # Engines keep what they load by the model's identity, so a model of its own has objects of its own.
        wrapper = faults.wrapper(self._channel)
        own = [Engines(Model(*self._given), wrapper) for _ in range(cell.threads.count)]
        return [ops.make(cell.op, cell.inputs, engines).call for engines in own]

    def _window_threads(self, threads: int) -> timing.WindowThreads:
        if threads < 1:
            raise CellError(f"threads must be a positive whole number, not {threads}")
        if threads not in self._threads:
            self._threads[threads] = timing.WindowThreads(threads)
        return self._threads[threads]

    @staticmethod
    def _settle_heap() -> None:
        """Collects, and moves all objects that live out of the collector's sight, as vLLM does once it has started.

        The collector stays on. What it has to look through is then what the measured calls make, and not the inputs
        that the benchmark keeps in memory.
        """
        gc.collect()
        gc.freeze()
