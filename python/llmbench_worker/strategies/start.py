"""What a strategy is started with."""

from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from ..errors import FatalError, UnavailableError

MAX_WARM_UP = 16
"""Warm-up requests that a worker runs before it is ready; the interpreter's own adaptation needs a few, not all."""


@dataclass(frozen=True)
class Start:
    """The `start` request. Goes to child processes as it is."""

    model: dict
    timestamp: int
    strategy: str
    workers: int
    params: dict[str, Any]
    pipeline: dict[str, str]
    inputs: dict[str, Any] = field(default_factory=dict)
    socket: str = ""

    @classmethod
    def of(cls, request: dict) -> "Start":
        """Raises: FatalError: a field is missing or of another type than the contract says."""
        try:
            made = cls(
                model=request["model"],
                timestamp=request["timestamp"],
                strategy=request["strategy"],
                workers=request["workers"],
                params=request.get("params") or {},
                pipeline=request["pipeline"],
                inputs=request["inputs"],
                socket=request["socket"],
            )
        except KeyError as error:
            raise FatalError(
                f"the start request has no {error}; use the server that comes with this llmbench"
            ) from None
        if not isinstance(made.workers, int) or isinstance(made.workers, bool) or made.workers < 1:
            raise FatalError(f"workers must be a positive whole number, not {made.workers!r}")
        return made

    def choice(self, name: str, *known: str) -> str:
        """The parameter of that name, which is one of `known`; the first if it is not given."""
        value = self.params.get(name, known[0])
        if value not in known:
            raise UnavailableError(f"{self.strategy} knows no {name} {value!r}; it knows: {', '.join(known)}")
        return value

    def count(self, name: str, default: int) -> int:
        """The parameter of that name, a positive whole number."""
        value = self.params.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise FatalError(f"{self.strategy}: {name} must be a positive whole number, not {value!r}")
        return value

    def warm_up(self) -> list[bytes]:
        """Bodies of warm-up requests, at least one.

        The file is read again whenever they are needed: nothing of it stays in the memory that is measured.
        """
        pool, warmup = self.inputs["pool"], self.inputs["warmup"]
        with open(self.inputs["requests"], "rb") as file:
            lines = list(islice(file, pool, pool + min(warmup, MAX_WARM_UP)))
        if not lines:
            raise FatalError("the workload holds no warm-up requests; give it some, so that a server can be warmed")
        return lines
