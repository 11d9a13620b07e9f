"""Faults on demand, for end-to-end tests of what the parent does about them.

`LLMBENCH_TEST_FAULT=KIND:PAIR`, e.g. `ids:hf-tokenizers/encode`, acts in every call of that pair (so in warm-up,
checks, blocks and dumps), also where it is a stage of another operation. KIND is one of

ids      one bit of the id at position 3 (or the last) is flipped in what the call returns
text     the last character of the text that the call returns is replaced
hang     the call does not return
crash    the process kills itself with SIGKILL
garbage  a line that is not JSON goes to the answer descriptor; the call then works
print    a line goes to stdout; the call then works
oom      the call raises MemoryError
exit     the process ends with code 3 and a line on stderr
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from .channel import Channel
from .errors import FatalError

FAULT_VAR = "LLMBENCH_TEST_FAULT"

POSITION = 3
"""Where the id lies that is flipped."""


def wrapper(channel: Channel) -> Callable[[str, Callable], Callable]:
    """A function that puts the fault of the environment, if there is one, into the call of its pair.

    Raises:
        FatalError: the variable does not have that form.
    """
    value = os.environ.get(FAULT_VAR)
    if not value:
        return lambda _pair, call: call
    kind, _, faulty = value.partition(":")
    if kind not in KINDS or "/" not in faulty:
        raise FatalError(f"{FAULT_VAR} must be KIND:ENGINE/CALL_PATH with KIND one of {', '.join(KINDS)}")

    def wrap(pair: str, call: Callable) -> Callable:
        return KINDS[kind](call, channel) if pair == faulty else call

    return wrap


def _around(before: Callable[[Channel], None]) -> Callable:
    def make(call: Callable, channel: Channel) -> Callable:
        def faulty(item: Any) -> Any:
            before(channel)
            return call(item)

        return faulty

    return make


def _after(change: Callable[[Any], Any]) -> Callable:
    def make(call: Callable, _channel: Channel) -> Callable:
        return lambda item: change(call(item))

    return make


def _flip(result: Any) -> Any:
    if isinstance(result, tuple):  # a padded batch: ids and mask
        result[0][0, min(POSITION, result[0].shape[1] - 1)] ^= 1
    else:
        result[min(POSITION, len(result) - 1)] ^= 1
    return result


def _replace(text: str) -> str:
    return text[:-1] + ("?" if text[-1:] != "?" else "!")


def _hang(_channel: Channel) -> None:
    while True:
        time.sleep(3600)


def _crash(_channel: Channel) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _garbage(channel: Channel) -> None:
    channel.write(b"this line is not JSON\n")


def _print(_channel: Channel) -> None:
    print("a stray print", flush=True)


def _oom(_channel: Channel) -> None:
    raise MemoryError


def _exit(_channel: Channel) -> None:
    print("the worker was told to exit", file=sys.stderr, flush=True)
    os._exit(3)


KINDS: dict[str, Callable] = {
    "ids": _after(_flip),
    "text": _after(_replace),
    "hang": _around(_hang),
    "crash": _around(_crash),
    "garbage": _around(_garbage),
    "print": _around(_print),
    "oom": _around(_oom),
    "exit": _around(_exit),
}
