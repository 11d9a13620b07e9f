"""Requests on stdin, answers on a descriptor of their own."""

import json
import os
import sys
from collections.abc import Iterator

ANSWER_FD_VAR = "LLMBENCH_ANSWER_FD"
"""Environment variable with the number of the descriptor that answers go to."""


class Channel:
    """The two ends that the worker talks through. Not for use by more than one thread."""

    def __init__(self, answer_fd: int) -> None:
        self._fd = answer_fd

    @classmethod
    def open(cls) -> "Channel":
        """Takes over the descriptor that the parent passed.

        It is not inherited by children, and what anything prints to stdout goes to stderr from here on: neither
        Python's `print` nor a C library's can reach the answers.
        """
        fd = int(os.environ[ANSWER_FD_VAR])
        os.set_inheritable(fd, False)
        sys.stdout.flush()
        os.dup2(2, 1)
        return cls(fd)

    def requests(self) -> Iterator[dict]:
        """The requests, until the end of the input.

        Raises:
            ValueError: a line is not a JSON object with a `type`.
        """
        for line in sys.stdin.buffer:
            if not line.strip():
                continue
            request = json.loads(line)
            if not isinstance(request, dict) or not isinstance(request.get("type"), str):
                raise ValueError("a request must be a JSON object with a type")
            yield request

    def answer(self, kind: str, /, **fields: object) -> None:
        """Writes one answer."""
        self.write(json.dumps({"type": kind, **fields}, separators=(",", ":")).encode() + b"\n")

    def write(self, data: bytes) -> None:
        """Writes bytes as they are."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
