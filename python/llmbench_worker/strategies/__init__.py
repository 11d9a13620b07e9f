"""Strategies: ways of spreading one pipeline (template, tokenize, collate) over cores, each served over a socket.

A new one is a file beside this one and a line in `TABLE`. Its module has `Strategy`, a subclass of `base.Strategy`;
only `http_workers` is a server of its own (`base.Server`), since an HTTP server owns its sockets.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """What is known about a strategy without importing anything."""

    module: str
    """Module in this folder."""
    what: str
    """What it does, in a few words, for a list."""


TABLE: dict[str, Entry] = {
    "inline": Entry("inline", "every request on the event loop itself"),
    "executor": Entry("executor", "a thread pool; params threads, objects=shared|per-thread"),
    "free-threaded": Entry("executor", "the same, only on an interpreter that runs without the GIL"),
    "micro-batch": Entry("micro_batch", "a queue in front of encode_batch; params wait_ms, max_batch, threads"),
    "inner-parallelism": Entry("inner_parallelism", "encode_batch with its own threads; params parallelism, threads"),
    "process-pool": Entry("process_pool", "a process pool; params result=pickle|bytes|shared-memory"),
    "http-workers": Entry("http_workers", "HTTP server processes on one port; params server=uvicorn|granian"),
    "sidecar": Entry("sidecar", "raw bodies go to a process that does everything; params sidecar, command"),
    "subinterpreters": Entry("subinterpreters", "templates in subinterpreters, the rest in the main one"),
    "pass-through": Entry("pass_through", "ids come with the request: the floor"),
}
