"""Engines and their call paths. A new one is a file beside this one and a line in `engines.json`, which the binary
reads too: what the suites measure and which packages `llmbench python` looks at comes from it. A package that the
environment need not have (`optional`, the version that it was tested with) has a lock in `python/optional/`, which
`python/lock.sh` makes. Of an engine that tokenizes the plain call path comes first.

The module of an engine has `load(model, call_path)`, which imports the packages and returns a `Loaded`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import optional
from ..errors import MAX_MESSAGE, CellError, UnavailableError, describe, is_caught, missing

if TYPE_CHECKING:
    from ..model import Model


@dataclass(frozen=True)
class Entry:
    """What is known about a pair without importing anything."""

    stage: str
    """`parse`, `template`, `tokenize`, `collate`, `handoff`; `decode`, `json`, `probe` of what only probes look at."""
    module: str
    """Module, relative to this folder."""
    packages: tuple[str, ...]
    """The packages whose versions matter, as pip names them; the first is the one to install."""
    version: str | None = None
    """Of an engine that the environment need not have: the version that it was tested with."""

    @property
    def requirement(self) -> str:
        """What to tell pip to install."""
        return f"{self.packages[0]}=={self.version}" if self.version else self.packages[0]


@dataclass(frozen=True)
class Loaded:
    """A call path that is ready to be called. By stage, `call` takes and returns:

    parse: request line (bytes) -> object with `messages` and `tools`
    template: (messages, tools) -> text
    tokenize: text -> list of ids
    collate: list of lists of ids -> (ids, mask), both int64 arrays with `tolist`
    handoff: (request id, ids) -> bytes
    """

    call: Callable[[Any], Any]
    decode: Callable[[bytes], dict] | None = None
    """handoff: the message in the bytes."""
    normalizes: bool = False
    """template: does itself what `inputs.normalized` does."""


TABLE: dict[str, Entry] = {
    **{
        line["call_path"]: Entry(line["op"], line["module"], tuple(line["packages"]), line.get("optional"))
        for line in json.loads(Path(__file__).with_name("engines.json").read_text(encoding="utf-8"))
    },
    # Calls that hold the GIL for a known share of their time, to calibrate the probes.
    **{
        f"probe/{call_path}": Entry("probe", ".probes.truths", ())
        for call_path in (
            "held",
            "released",
            "mix-30",
            "mix-30-short",
            "mix-30-long",
            "sleep-held",
            "sleep-released",
            "hold-2ms",
        )
    },
}


class Engines:
    """The call paths of one worker, each loaded once. A failure is kept and raised whenever the pair is asked for."""

    def __init__(self, model: "Model", wrap: Callable[[str, Callable], Callable]) -> None:
        """`wrap(pair, call)` gives the function to call instead of `call`; tests put faults there."""
        self._model = model
        self._wrap = wrap
        self._loaded: dict[str, Loaded] = {}
        self._failed: dict[str, Exception] = {}

    @property
    def model(self) -> "Model":
        """The model that they are loaded for."""
        return self._model

    def load(self, pair: str, stage: str | None = None) -> Loaded:
        """The call path `engine/call_path`, for `stage` if that is given.

        Raises:
            UnavailableError: it is not known here, or its package is not there or does not support the model.
            CellError: it did not load.
        """
        entry = TABLE.get(pair)
        if entry is None or (stage is not None and entry.stage != stage):
            known = ", ".join(name for name, entry in TABLE.items() if stage in (None, entry.stage))
            raise UnavailableError(f"the Python worker has no {stage or 'engine'} by {pair}; it has: {known}")
        if pair in self._failed:
            raise self._failed[pair]
        if pair not in self._loaded:
            try:
                self._loaded[pair] = self._import(pair, entry)
            except (UnavailableError, CellError) as error:
                self._failed[pair] = error
                raise
        return self._loaded[pair]

    def unavailable(self, pairs: list[str]) -> dict[str, str]:
        """Loads the pairs; returns those that are not to be had here, with the reason.

        One that is there but fails to load is not among them: its cells say so.
        """
        reasons = {}
        for pair in pairs:
            if pair.startswith("stack/"):
                continue  # made of other pairs, which are named when a cell is prepared
            try:
                self.load(pair)
            except UnavailableError as error:
                reasons[pair] = str(error)[:MAX_MESSAGE]
            except CellError:
                pass
        return reasons

    def _import(self, pair: str, entry: Entry) -> Loaded:
        if entry.version:
            optional.find(entry.packages[0])
        try:
            module = import_module(f".{entry.module}", __package__)
            loaded = module.load(self._model, pair.partition("/")[2])
        except ImportError as error:
            raise missing(entry.requirement if entry.packages else pair, error) from error
        except BaseException as error:
            if isinstance(error, UnavailableError) or not is_caught(error):
                raise
            raise CellError(f"{pair} did not load: {describe(error)}") from error
        return Loaded(self._wrap(pair, loaded.call), loaded.decode, loaded.normalizes)
