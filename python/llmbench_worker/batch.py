"""A batch of requests, prepared by a pool of threads as a server does it: the time that a GPU would wait."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

from .clock import now
from .errors import CellError
from .timing import call_for

Result = tuple[Any, dict[str, int]]
"""The padded batch, and stage to ns."""


@cache
def executor(threads: int) -> ThreadPoolExecutor:
    """The pool of that many threads, all of them started; it lives as long as the worker."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix=f"batch-{threads}")
    # An executor starts a thread only when no other is idle; this makes it start all of them.
    everyone = threading.Barrier(threads)
    list(pool.map(lambda _: everyone.wait(), range(threads)))
    return pool


def warm(threads: int, template: Callable, tokenize: Callable, chats: Callable[[], Any], duration_ns: int) -> int:
    """Renders and tokenizes `chats()` in every thread of the pool for that long, one thread after the other.

    Returns how long the calls of all took, ns. An engine may keep a cache for each thread.
    """
    everyone, alone = threading.Barrier(threads), threading.Lock()

    def one(_: int) -> int:
        everyone.wait()  # no thread takes the task of another
        with alone:
            return call_for(lambda chat: tokenize(template(chat)), chats, duration_ns)

    return sum(executor(threads).map(one, range(threads)))


def batch(
    mode: str, threads: int, template: Callable, tokenize: Callable, collate: Callable
) -> Callable[[list], Result]:
    """The call that prepares a list of chats.

    `stages`: all are rendered, then all are tokenized, with a barrier after each; a stage's time is its wall time.
    `requests`: each request is rendered and then tokenized in one thread; the time of both stages is the sum over the
    requests of the calls' own wall times. In both, the calling thread collates at the end.

    Raises:
        CellError: there is no such mode.
    """
    if mode not in ("stages", "requests"):
        raise CellError(f"the batch's mode must be stages or requests, not {mode}")
    run = executor(threads).map
    clock = now

    def stages(chats: list) -> Result:
        start = clock()
        texts = list(run(template, chats))
        rendered = clock()
        ids = list(run(tokenize, texts))
        tokenized = clock()
        padded = collate(ids)
        end = clock()
        return padded, {
            "template": rendered - start,
            "tokenize": tokenized - rendered,
            "collate": end - tokenized,
        }

    def one(chat: Any) -> tuple[list[int], int, int]:
        start = clock()
        text = template(chat)
        rendered = clock()
        ids = tokenize(text)
        return ids, rendered - start, clock() - rendered

    def requests(chats: list) -> Result:
        done = list(run(one, chats))
        start = clock()
        padded = collate([ids for ids, _, _ in done])
        collated = clock() - start
        return padded, {
            "template": sum(rendered for _, rendered, _ in done),
            "tokenize": sum(tokenized for _, _, tokenized in done),
            "collate": collated,
        }

    return stages if mode == "stages" else requests
