"""Runs llmbench against a real server: `python check.py [llamacpp|vllm]`.

Starts the server with a tiny random model, asks it with `llmbench load` and with every experiment of the serving suite,
and compares what the client counted with what the server counted.

Speeds are those of a tiny model on this machine and are not looked at. Exits 1 with a list of what did not agree.
"""

import argparse
import csv
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import install
import tiny

ROOT = Path(__file__).resolve().parents[2]
MODEL = "tiny"
START_S = 300
# 100: a point is INVALID, as on a small machine where the client is late. That is no fault of what it counts.
MEASURED = (0, 100)
# Few and small requests: the method is looked at, not the server.
LOAD = "--num-prompts 60 --max-concurrency 4 --random-input-len 300 --random-output-len 8 --json".split()
SUITE = "--quick --runs 2 --exp 1 2 3 7 --tokens 600 --turns 5 --concurrency 1,4".split()


class Server:
    """A real server: how it is started and what it says that it did."""

    name = ""

    def __init__(self, log: Path):
        self.log = log
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def command(self, folder: Path, cache: Path) -> list[str]:
        raise NotImplementedError

    def counted(self) -> tuple[int, int]:
        """Requests that it ended and prompt tokens that it met, since it started."""
        raise NotImplementedError

    def counter(self, name: str) -> int:
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as page:
            lines = page.read().decode().splitlines()
        values = [line.rsplit(" ", 1) for line in lines if re.match(rf"{re.escape(name)}[{{ ]", line)]
        return int(sum(float(value) for _, value in values))


class LlamaCpp(Server):
    name = "llama.cpp"

    def command(self, folder: Path, cache: Path) -> list[str]:
        model = folder / "tiny.gguf"
        return [
            *install.llamacpp(cache),
            *("--model", str(model), "--alias", MODEL, "--host", "127.0.0.1", "--port", str(self.port)),
            *"--ctx-size 65536 --parallel 8 --threads 1 --metrics".split(),
        ]

    def counted(self) -> tuple[int, int]:
        # It has no counter of requests; it writes a line for each slot that it frees.
        ended = self.log.read_text(errors="replace").count("stop processing")
        names = ("llamacpp:prompt_tokens_total", "llamacpp:prompt_tokens_cached_total")
        return ended, sum(self.counter(name) for name in names)


class Vllm(Server):
    name = "vLLM"

    def command(self, folder: Path, cache: Path) -> list[str]:
        return [
            *install.vllm(),
            *(str(folder / "hf"), "--served-model-name", MODEL, "--host", "127.0.0.1", "--port", str(self.port)),
            *"--max-model-len 32768 --enforce-eager --dtype float32".split(),
        ]

    def counted(self) -> tuple[int, int]:
        return self.counter("vllm:request_success_total"), self.counter("vllm:prompt_tokens_total")


@contextmanager
def running(server: Server, folder: Path, cache: Path):
    """Starts it, waits until it answers, and stops it whatever happens."""
    command = server.command(folder, cache)
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "1",
        "PATH": f"{Path(command[0]).parent}:{os.environ['PATH']}",
    }
    print(f"starting {server.name} at {server.url}; it writes to {server.log}", flush=True)
    with server.log.open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
    try:
        until = time.monotonic() + START_S
        while True:
            if process.poll() is not None or time.monotonic() > until:
                tail = "\n".join(server.log.read_text(errors="replace").splitlines()[-15:])
                raise SystemExit(f"{server.name} did not start within {START_S} s; the end of its log:\n{tail}")
            try:
                urllib.request.urlopen(f"{server.url}/health", timeout=2)
                break
            except OSError:
                time.sleep(0.5)
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Checks:
    """What did not agree."""

    def __init__(self) -> None:
        self.wrong = 0

    def equal(self, what: str, ours: object, theirs: object) -> None:
        agree = ours == theirs
        self.wrong += not agree
        print(f"{'ok   ' if agree else 'WRONG'} {what}: {ours}" + ("" if agree else f", expected {theirs}"), flush=True)


def settled(server: Server) -> tuple[int, int]:
    """What it counted, once it counts no more: a counter may follow the last byte of an answer."""
    before = server.counted()
    while True:
        time.sleep(0.5)
        after = server.counted()
        if after == before:
            return after
        before = after


def check_load(llmbench: list[str], server: Server, checks: Checks) -> None:
    requests, tokens = settled(server)
    asked = subprocess.run([*llmbench, "load", "--base-url", server.url, *LOAD], stdout=subprocess.PIPE, check=False)
    checks.equal("llmbench load measured", asked.returncode in MEASURED, True)
    run = json.loads(asked.stdout)["runs"][0]
    after_requests, after_tokens = settled(server)
    checks.equal("requests that failed", run["failed"], 0)
    # One request is sent before, to see how the server answers.
    checks.equal("requests that the server counted", after_requests - requests, run["completed"] + 1)
    probe = after_tokens - tokens - run["total_input_tokens"]
    mean = run["total_input_tokens"] / run["completed"]
    checks.equal("the server counted our prompt tokens and those of one request more", 0.8 < probe / mean < 1.2, True)
    checks.equal("output tokens", run["total_output_tokens"], 8 * run["completed"])


def check_suite(llmbench: list[str], server: Server, model: Path, output: Path, checks: Checks) -> None:
    command = [
        *llmbench,
        "run",
        "serving",
        *SUITE,
        "--model",
        str(model),
        "--base-url",
        server.url,
        "--output",
        str(output),
    ]
    ran = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    checks.equal("llmbench run serving measured", ran.returncode in MEASURED, True)
    with (output / "latest" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    for experiment in ("latency-wall", "prefix-cache", "sidecar", "max-rate"):
        own = [row for row in rows if row["experiment"] == experiment]
        checks.equal(f"{experiment} has rows", bool(own), True)
        bad = Counter(
            (row["status"], row["error"]) for row in own if row["status"] not in ("ok", "invalid", "unchecked")
        )
        checks.equal(f"{experiment}: rows that are neither ok nor invalid", dict(bad), {})
    warnings = json.loads((output / "latest" / "results.json").read_text())["experiments"]
    lost = [warning for experiment in warnings for warning in experiment["warnings"] if "counted" in warning]
    checks.equal("warnings about what was counted", lost, [])
    print(f"report: {output / 'latest' / 'report.html'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server", nargs="?", choices=["llamacpp", "vllm"], default="llamacpp")
    parser.add_argument(
        "--model", type=Path, help="folder with tokenizer.json and a chat template [default: the built-in one]"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "target" / "servers", help="where everything is written")
    parser.add_argument("--llmbench", type=Path, help="the program [default: it is built]")
    wanted = parser.parse_args()
    output: Path = wanted.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    llmbench = [str(wanted.llmbench or build())]
    model: Path = wanted.model or built_in(llmbench, output)
    tokenizer = tiny.Tokenizer(model)
    tiny.write_folder(tokenizer, output / "hf")
    tiny.write_gguf(tokenizer, output / "tiny.gguf")
    server = {"llamacpp": LlamaCpp, "vllm": Vllm}[wanted.server](output / f"{wanted.server}.log")
    checks = Checks()
    with running(server, output, output):
        check_load(llmbench, server, checks)
        check_suite(llmbench, server, model, output / wanted.server, checks)
    print("all agrees" if checks.wrong == 0 else f"{checks.wrong} checks failed")
    sys.exit(checks.wrong > 0)


def build() -> Path:
    subprocess.run(["cargo", "build", "--release", "--locked"], cwd=ROOT, check=True)
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "llmbench"


def built_in(llmbench: list[str], output: Path) -> Path:
    """The folder of llmbench's built-in model, which it makes when it is first needed: here to ask its own mock."""
    cache = output / "cache"
    mock = subprocess.Popen([*llmbench, "mock", "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        url = mock.stdout.readline().strip()
        one = [*llmbench, "load", "--base-url", url, "--num-prompts", "1", "--max-concurrency", "1"]
        environment = os.environ | {"LLMBENCH_CACHE": str(cache)}
        subprocess.run(one, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    finally:
        mock.terminate()
        mock.wait()
    return next(cache.glob("builtin-*/model"))


if __name__ == "__main__":
    main()
