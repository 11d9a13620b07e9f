"""Whether 10 ms of warm-up are enough: the first pass over the requests against later ones, in fresh processes.

    python -m tests.warm_up RUN_FOLDER MODEL_FOLDER [NATIVE_BINARY] [PROCESSES]

RUN_FOLDER is one of a quick run (its workload `words-t1000-n3` is used), MODEL_FOLDER the resolved model in the cache.
Each process prepares a cell with the warm-up of a run and then goes eight times through the 64 requests, one block a
pass. A pass is measured by the CPU time of the thread that calls (with the block's request and answer, some 0.1 ms), so
that other work on the machine disturbs little. The ratio of a process is its first pass over the mean of its last five;
the interval is that of the geometric mean over processes (t on the logarithms). Processes of all cells take turns.
"""

import math
import sys
from pathlib import Path
from statistics import mean, stdev

from .support import Subject, op

POOL, PASSES, LATE = 64, 8, 5
WARM_UP_NS = 10_000_000
PYTHON = [
    ("hf-tokenizers/encode", "tokenize"),
    ("jinja2/render", "template"),
    ("transformers/apply_chat_template", "template"),
]
NATIVE = [("hf-tokenizers/encode", "tokenize"), ("minijinja/render", "template")]
T_975 = {9: 2.262, 11: 2.201, 14: 2.145, 15: 2.131, 19: 2.093, 23: 2.069, 29: 2.045}
"""Quantiles of Student's t by degrees of freedom (tabulated)."""


def cpu_ns(pid: int) -> int:
    """CPU time of a process's first thread, ns (Linux)."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0])


def passes(program: list[str] | None, pair: str, stage: str, model: dict, inputs: dict) -> list[int]:
    """CPU time of each pass over the requests, ns."""
    with Subject(program=program) as subject:
        subject.hello(model, [pair])
        *_, done = subject.prepare("c", op(pair, stage), inputs, warm_ns=WARM_UP_NS)
        if done["type"] != "done":
            raise SystemExit(f"{pair}: {done}")
        pid = subject.process.pid
        times = []
        for turn in range(PASSES):
            before = cpu_ns(pid)
            subject.block("c", loops=POOL, block=turn)
            times.append(cpu_ns(pid) - before)
        return times


def main(run: str, model: str, native: str = "", processes: str = "12") -> None:
    workload = Path(run) / "workload"
    files = {name: str(workload / f"words-t1000-n3.{name}.jsonl") for name in ("requests", "texts")}
    lines = len(Path(files["requests"]).read_text().splitlines())
    inputs = {**files, "pool": POOL, "warmup": lines - POOL}
    cells = [(None, *cell) for cell in PYTHON]
    if native:
        cells += [([native, "worker"], *cell) for cell in NATIVE]
    logs = {index: ([], []) for index in range(len(cells))}
    for _ in range(int(processes)):
        for index, (program, pair, stage) in enumerate(cells):
            times = passes(program, pair, stage, {"dir": model}, inputs)
            late = mean(times[-LATE:])
            for log, early in zip(logs[index], times[:2], strict=True):
                log.append(math.log(early / late))
    for index, (program, pair, _) in enumerate(cells):
        for name, log in zip(("first", "second"), logs[index], strict=True):
            half = T_975[len(log) - 1] * stdev(log) / math.sqrt(len(log))
            low, point, high = (math.exp(mean(log) + sign * half) for sign in (-1, 0, 1))
            worker = "native" if program else "python"
            print(f"{worker} {pair}: {name} pass / later {point:.3f} ({low:.3f} to {high:.3f}), {len(log)} processes")


if __name__ == "__main__":
    main(*sys.argv[1:])
