"""What `llmbench sidecar` carries on a core, against the same pipeline in Python: `python python/bench/sidecar.py`.

Both stand in front of one mock that answers at once. Each round starts fresh processes in random order, warms them and
asks them the same conversations, none of them twice. Requests/s per core are answers over the CPU time that the process
used, so a client on the same cores does not change them. Ratios are paired within rounds: t over their logarithms.
"""

import argparse
import json
import math
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
T_95 = {3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
PYTHON, SAME, FASTEST = "uvicorn + transformers", "sidecar, same tokenizer", "sidecar, fastest tokenizer"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def started(command: list[str], url: str, **environment: str):
    """A process that answers at `url`; ended whatever happens."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ | environment)
    try:
        until = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(url + "/v1/models", timeout=2)
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > until:
                    process.kill()
                    raise SystemExit(f"{command} does not answer: {process.stderr.read().decode()[-2000:]}") from None
                time.sleep(0.1)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def cpu_s(pid: int) -> float:
    """CPU time of a process and all its threads, s, to the nanosecond where the kernel keeps that."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llmbench", default="target/release/llmbench", help="the program")
    parser.add_argument("--python", default=sys.executable, help="an interpreter with uvicorn, httpx and transformers")
    parser.add_argument("--model", required=True, help="folder with tokenizer.json and a chat template")
    parser.add_argument("--tokens", type=int, default=4000, help="tokens of a conversation")
    parser.add_argument("--turns", type=int, default=100, help="turns of a conversation")
    parser.add_argument("--requests", type=int, default=400, help="requests of a round")
    parser.add_argument("--rounds", type=int, default=5, choices=sorted(T_95))
    wanted = parser.parse_args()
    found = {name: [] for name in (PYTHON, SAME, FASTEST)}
    upstream = f"http://127.0.0.1:{free_port()}"
    mock = [wanted.llmbench, "mock", "--port", upstream.rsplit(":", 1)[1]]
    mock += "--step-ms 0 --prefill-us 0 --decode-us 0 --max-num-batched-tokens 1000000".split()
    order = random.Random(1)
    with started(mock, upstream):
        for number in range(1, wanted.rounds + 1):
            tokens = set()
            for name in order.sample(list(found), len(found)):
                rate, prompts = measure(wanted, name, upstream, number)
                found[name].append(rate)
                tokens.add(prompts)
                print(f"round {number}: {name}: {rate:,.0f} requests/s per core", flush=True)
            if len(tokens) != 1:
                raise SystemExit(f"they did not send the same tokens: {tokens}; the figures compare different work")
    print(f"\n{wanted.tokens:,} tokens in {wanted.turns} turns, {wanted.rounds} rounds of {wanted.requests} requests:")
    for name, rates in found.items():
        print(f"{name:28} {statistics.geometric_mean(rates):8,.0f} requests/s per core")
    for name in (SAME, FASTEST):
        logs = [math.log(ours / theirs) for ours, theirs in zip(found[name], found[PYTHON], strict=True)]
        mean, half = statistics.mean(logs), T_95[len(logs)] * statistics.stdev(logs) / math.sqrt(len(logs))
        bounds = f"[{math.exp(mean - half):.2f}, {math.exp(mean + half):.2f}]"
        print(f"{name:28} {math.exp(mean):8.2f}x {bounds} {PYTHON}")


def measure(wanted: argparse.Namespace, name: str, upstream: str, number: int) -> tuple[float, int]:
    """Requests/s per core, and the prompt tokens that the server counted."""
    port = str(free_port())
    url = f"http://127.0.0.1:{port}"
    if name == PYTHON:
        command = [
            wanted.python,
            "-m",
            "uvicorn",
            "proxy:app",
            "--app-dir",
            str(HERE),
            "--port",
            port,
            "--no-access-log",
        ]
    else:
        engine = "auto" if name == FASTEST else "hf-tokenizers"
        command = [wanted.llmbench, "sidecar", "--upstream", upstream, "--listen", f"127.0.0.1:{port}"]
        command += ["--model", wanted.model, "--engine", engine]
    with started(command, url, MODEL=wanted.model, UPSTREAM=upstream) as pid:
        load(wanted, url, 50, 1000 + number)
        before = cpu_s(pid)
        run = load(wanted, url, wanted.requests, number)
        used = cpu_s(pid) - before
    if run["failed"]:
        raise SystemExit(f"{name}: {run['failed']} requests failed")
    return run["completed"] / used, run["total_input_tokens"]


def load(wanted: argparse.Namespace, url: str, requests: int, seed: int) -> dict:
    """What `llmbench load` says of that many conversations."""
    command = [wanted.llmbench, "load", "--base-url", url, "--model", wanted.model, "--json", "--seed", str(seed)]
    command += ["--dataset-name", "words", "--random-input-len", str(wanted.tokens), "--turns", str(wanted.turns)]
    command += ["--random-output-len", "1", "--num-prompts", str(requests), "--pool", str(requests + 1)]
    command += ["--max-concurrency", "8"]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout)[
        "runs"
    ][0]


if __name__ == "__main__":
    main()
