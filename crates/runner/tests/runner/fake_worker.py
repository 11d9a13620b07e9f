"""A worker whose truth is known: every call takes `params.ns` of a clock that it makes up, and it fails as it is told to.

Told by `params.does` of a cell (see `block` and `prepare`) and by the environment: FAKE_HELLO (what `hello` does), FAKE_LOG (a
file that every request is appended to), FAKE_ENV (a file that gets the environment), FAKE_FLAGS (a folder of marks).
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

answers = os.fdopen(int(os.environ["LLMBENCH_ANSWER_FD"]), "w", buffering=1)
clock = 1_000_000
cells = {}
called = 0


def say(**answer):
    answers.write(json.dumps(answer) + "\n")


def log(kind, cell):
    if path := os.environ.get("FAKE_LOG"):
        with open(path, "a") as file:
            file.write(f"{os.environ['FAKE_NAME']} {os.getpid()} {kind} {cell}\n")


def once(name):
    """True the first time, over all processes."""
    try:
        os.close(os.open(os.path.join(os.environ["FAKE_FLAGS"], name.replace("/", "-")), os.O_CREAT | os.O_EXCL))
        return True
    except FileExistsError:
        return False


def count(name):
    """How often this was called with that name, this time included, over all processes."""
    path = os.path.join(os.environ["FAKE_FLAGS"], name.replace("/", "-"))
    with open(path, "a+") as file:
        file.write("x")
        return file.tell()


def hang():
    child = subprocess.Popen(["sleep", "1000"])
    with open(os.path.join(os.environ["FAKE_FLAGS"], "pids"), "a") as file:
        file.write(f"{os.getpid()} {child.pid}\n")
    print("waiting for a lock", file=sys.stderr, flush=True)
    time.sleep(1000)


def output(cell, index):
    params = cells[cell]["op"]["params"]
    if params.get("does") == "ids":
        ids = list(range(100))
        if params.get("wrong") == index:
            ids[41] = 7
        return ids
    text = f"request {index}: the quick brown fox jumps over the lazy dog"
    if params.get("wrong") == index:
        text = text.replace("jumps", "jumqs")
    if params.get("does") == "changes":
        text += str(os.getpid())
    return text


def digest(cell, index):
    return hashlib.sha256(json.dumps(output(cell, index)).encode()).hexdigest()


def prepare(request):
    global called
    cell = request["cell_id"]
    cells[cell] = request
    does = request["op"]["params"].get("does")
    if does == "prepare_error":
        return say(type="error", cell_id=cell, message="the template raised: no system message allowed")
    if does == "prepare_unavailable":
        return say(type="error", cell_id=cell, kind="unavailable", message="torch is not here; pip install torch")
    if does == "prepare_hang":
        hang()
    if request["check"]:
        called += 1
        say(type="check", cell_id=cell, hashes=[digest(cell, i) for i in range(request["check"])])
    if request["warmup_ns"]:
        called += 1
    limit = {"limit_ns": request["op"]["params"]["limit_ns"]} if "limit_ns" in request["op"]["params"] else {}
    say(type="done", cell_id=cell, warm_ns=request["warmup_ns"], **limit)


def sample(request, calls, cell=None):
    global clock
    params = cells[request["cell_id"]]["op"]["params"]
    start, clock = clock, clock + calls * params["ns"]
    stages = {name: share * calls for name, share in params.get("stages", {}).items()}
    say(type="sample", cell_id=cell or request["cell_id"], block=request["block"], start_ns=start, end_ns=clock,
        calls=calls, stages=stages, gc=1)


def stretch(request):
    """One call a millisecond. In the calibration it finds `params.found`; in a run it says what it was told."""
    global clock
    cell, told = request["cell_id"], request["stretch"]
    timing = cells[cell]["timing"]
    calls = timing["span_ns"] // 1_000_000
    start, clock = clock, clock + timing["span_ns"]
    readings = {"figure": cells[cell]["op"]["params"]["found"]}
    if "seed" in told:
        readings = {f"told {of}": found["figure"] for of, found in told.get("found", {}).items()}
        # A float holds so many bits.
        readings |= {"lateness_p99_ns": 1000.5, "seed": told["seed"] % 2**53}
    say(type="sample", cell_id=cell, block=request["block"], start_ns=start, end_ns=clock, calls=calls,
        readings=readings, series={"latency_ns": list(range(5))})
    say(type="check", cell_id=cell, hashes=[digest(cell, i) for i in range(3)])


def block(request):
    global called
    cell = request["cell_id"]
    timing = cells[cell]["timing"]["kind"]
    params = cells[cell]["op"]["params"]
    does = params.get("does")
    if does == "crash":
        sample(request, 1)
        print("Traceback (most recent call last):\nValueError: boom\n", file=sys.stderr, flush=True)
        os._exit(3)
    if does == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if does == "killed_in_a_run" and request["block"] == 1 and once(f"killed {cell}"):
        sample(request, 5)
        os.kill(os.getpid(), signal.SIGKILL)
    if does == "hang":
        hang()
    # The first block of a cell is the calibration's.
    if count(f"blocks {cell}") in params.get("fail_at", []):
        if does == "late":
            hang()
        os.kill(os.getpid(), signal.SIGKILL)
    if does == "garbage":
        answers.write("Segmentation whatever " * 40 + "\n")
        time.sleep(1000)
    if does == "block_error":
        return say(type="error", cell_id=cell, message="list index out of range")
    if does == "other_cell":
        return sample(request, 1, cell="another")
    if does == "no_sample":
        return say(type="done", cell_id=cell)
    if does == "zero_calls":
        sample(request, 0)
        return say(type="done", cell_id=cell)
    if does == "print":
        print("a library says hello")
        os.write(1, b'{"type": "done", "cell_id": "x"}\n')
    if timing == "each":
        for _ in range(request["loops"]):
            sample(request, 1)
    elif timing == "window":
        say(type="sample", cell_id=cell, block=request["block"], start_ns=0, end_ns=1000, calls=30,
            threads=[{"start_ns": 0, "end_ns": 1000, "calls": 10}, {"start_ns": 0, "end_ns": 500, "calls": 20}])
    elif timing == "first":
        if called:
            return say(type="error", cell_id=cell, message=f"{called} calls came before the first")
        sample(request, 1)
        say(type="check", cell_id=cell, hashes=[digest(cell, request["offset"])])
    elif timing == "stretch":
        stretch(request)
    else:
        sample(request, request["loops"])
    called += 1
    say(type="done", cell_id=cell, warm_ns=request["settle_ns"])


def hello(request):
    does = os.environ.get("FAKE_HELLO", "")
    if does == "slow":
        time.sleep(0.5)
    if does == "hang":
        hang()
    if does == "fatal":
        say(type="fatal", message="transformers cannot be imported; run with --no-env")
        sys.exit(0)
    if does == "crash":
        print("ModuleNotFoundError: No module named 'tokenizers'", file=sys.stderr, flush=True)
        sys.exit(1)
    if does == "exit":
        sys.exit(0)
    if does == "protocol":
        return say(type="ready", protocol=99, pid=1, worker="python", interpreter="x", gil="none", clock_pair_ns=1,
                   loop_overhead_ns=1, load_ns=1)
    if path := os.environ.get("FAKE_ENV"):
        with open(path, "a") as file:
            file.write(json.dumps(dict(os.environ)) + "\n")
    say(type="ready", protocol=1, pid=os.getpid(), worker="python", interpreter="CPython 0.0", gil="enabled",
        unavailable={"gone/encode": "gone is not installed; pip install gone"}, clock_pair_ns=50, loop_overhead_ns=20,
        load_ns=1000)


for line in sys.stdin:
    request = json.loads(line)
    log(request["type"], request.get("cell_id", "-"))
    match request["type"]:
        case "hello":
            hello(request)
        case "prepare":
            prepare(request)
        case "block":
            block(request)
        case "dump":
            found = output(request["cell_id"], request["index"])
            kind = "text" if isinstance(found, str) else "ids"
            say(type="dump", cell_id=request["cell_id"], index=request["index"], output={kind: found})
        case "bye":
            sys.exit(0)
