"""Strategy servers as subprocesses, driven as the harness drives them, and a client of their sockets."""

import json
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from http.client import HTTPConnection
from pathlib import Path

from .support import PATIENCE_S, ROOT, TIMESTAMP, Subject, chats, u32, write_inputs, write_model

HEADER = struct.Struct("<IQ")
STAMPS = struct.Struct("<BQQQ")

PIPELINE = {"template": "jinja2/render", "tokenize": "hf-tokenizers/encode", "collate": "numpy/pad"}
TRANSFORMERS = {**PIPELINE, "template": "transformers/apply_chat_template"}


class Answer:
    """One answer, its stamps in ns."""

    def __init__(self, payload: bytes) -> None:
        self.status, self.received, self.started, self.finished = STAMPS.unpack_from(payload)
        self.body = payload[STAMPS.size :]

    @property
    def message(self) -> str:
        return self.body.decode()


class Client:
    """One connection to a Unix socket."""

    def __init__(self, endpoint: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(endpoint.removeprefix("unix:"))

    def send(self, index: int, body: bytes) -> None:
        self.socket.sendall(HEADER.pack(len(body), index) + body)

    def receive(self) -> tuple[int, Answer]:
        length, index = HEADER.unpack(self._exactly(HEADER.size))
        return index, Answer(self._exactly(length))

    def ask(self, body: bytes) -> Answer:
        self.send(0, body)
        return self.receive()[1]

    def close(self) -> None:
        self.socket.close()

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise ConnectionError("the server closed the connection")
            data += part
        return data


class HttpClient:
    """One keep-alive connection to an HTTP endpoint; an answer at a time."""

    def __init__(self, endpoint: str) -> None:
        self._connection = HTTPConnection(endpoint.removeprefix("http://"), timeout=PATIENCE_S)
        self._sent: list[tuple[int, bytes]] = []

    def send(self, index: int, body: bytes) -> None:
        self._sent.append((index, body))

    def receive(self) -> tuple[int, Answer]:
        index, body = self._sent.pop(0)
        return index, self.ask(body)

    def ask(self, body: bytes) -> Answer:
        response = self.post("/prepare", body)
        if response[0] != 200:
            raise ConnectionError(f"the server answered {response}")
        return Answer(response[1])

    def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        self._connection.request("POST", path, body, {"content-type": "application/json"})
        response = self._connection.getresponse()
        return response.status, response.read()

    def close(self) -> None:
        self._connection.close()


def client(endpoint: str) -> Client | HttpClient:
    return HttpClient(endpoint) if endpoint.startswith("http:") else Client(endpoint)


class Served(Subject):
    """A server; `ready` is its answer to `start`."""

    def __init__(self, env: dict[str, str] | None = None, python: str = sys.executable) -> None:
        read, write = os.pipe()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LLMBENCH_", "PYTHON"))}
        fixed = {
            "PYTHONPATH": str(ROOT),
            "LLMBENCH_ANSWER_FD": str(write),
            "TOKENIZERS_PARALLELISM": "false",
            "RAYON_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "PYTHONHASHSEED": "7",
            "TZ": "UTC",
        }
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the subject
        self.process = subprocess.Popen(
            [python, "-m", "llmbench_worker.serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            pass_fds=(write,),
            env={**kept, **fixed, **(env or {})},
        )
        os.close(write)
        self._answers = read
        self._buffer = b""
        self.ready: dict = {}

    def ask(self, kind: str, /, **fields: object) -> dict:
        self.send(kind, **fields)
        return self.receive()

    def pids(self) -> set[int]:
        """All processes of the tree, whatever their role."""
        return descendants(self.process.pid)


def descendants(pid: int) -> set[int]:
    """The process and all that descend from it, from /proc."""
    if not Path("/proc/self").exists():
        return {pid}
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, frontier = {pid}, [pid]
    while frontier:
        children = parents.get(frontier.pop(), [])
        found.update(children)
        frontier.extend(children)
    return found


def gone(pids: set[int]) -> bool:
    """Whether all of them end, if need be after a moment; a zombie has ended."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if not any(alive(pid) for pid in pids):
            return True
        time.sleep(0.02)
    return False


def alive(pid: int) -> bool:
    if not Path("/proc/self").exists():
        try:
            os.kill(pid, 0)
        except OSError:
            return False
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:
        return False
    return state not in (b"Z", b"X")


def threads(pid: int) -> int:
    return int(re.search(r"^Threads:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[1])


class ServeTest(unittest.TestCase):
    """A folder with the tiny model, requests that all differ, and the ids that each must be answered with."""

    REQUESTS = 40

    @classmethod
    def setUpClass(cls) -> None:
        cls._folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls._folder.cleanup)
        cls.folder = Path(cls._folder.name)
        cls.model = write_model(cls.folder / "model")
        shapes = chats()
        numbered = [
            {"messages": [{"role": "user", "content": f"request {index}: " + "the hello world " * (index % 7)}]}
            for index in range(cls.REQUESTS - 8)
        ]
        requests = [*shapes[:8], *numbered]
        cls.inputs = write_inputs(cls.folder, [*requests, *shapes[8:]])
        cls.bodies = [json.dumps(request).encode() for request in requests]
        cls.expected = [reference(cls.model, request) for request in requests]
        assert len(set(cls.expected)) == len(requests), "every request must have an answer of its own"

    def launch(self, strategy: str, workers: int = 2, env: dict | None = None, **options: object) -> Served:
        """A server and whatever it answered to `start`; ended with the test."""
        served = Served(env)
        self.addCleanup(served.__exit__)
        served.ready = served.ask("start", **self.start_fields(strategy, workers, **options))
        return served

    def start_fields(self, strategy: str, workers: int, pipeline: dict | None = None, **params: object) -> dict:
        return {
            "protocol": 1,
            "model": self.model,
            "timestamp": TIMESTAMP,
            "strategy": strategy,
            "workers": workers,
            "params": params,
            "pipeline": pipeline or PIPELINE,
            "inputs": self.inputs,
            "socket": str(self.folder / "s.sock"),
        }

    def serve(self, strategy: str, workers: int = 2, **options: object) -> Served:
        served = self.launch(strategy, workers, **options)
        self.assertEqual(served.ready["type"], "ready", (served.ready, served.stderr()))
        return served

    def connect(self, served: Served) -> Client | HttpClient:
        made = client(served.ready["endpoint"])
        self.addCleanup(made.close)
        return made

    def check_answers(self, served: Served, bodies: list[bytes] | None = None) -> list[Answer]:
        """Every request on two connections, all in flight at once; each answer must be its own request's."""
        bodies = self.bodies if bodies is None else bodies
        connections = [self.connect(served) for _ in range(2)]
        answers: list[dict[int, Answer]] = [{}, {}]

        def run(which: int) -> None:
            mine = list(range(which, len(bodies), 2))
            for index in mine:
                # The same ids are used on both connections, for different requests.
                connections[which].send(index // 2, bodies[index])
            for _ in mine:
                index, answer = connections[which].receive()
                answers[which][index * 2 + which] = answer

        running = [threading.Thread(target=run, args=(which,)) for which in range(2)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        together = {**answers[0], **answers[1]}
        self.assertEqual(sorted(together), list(range(len(bodies))), served.stderr())
        now = time.perf_counter_ns()
        for index, answer in together.items():
            with self.subTest(request=index):
                self.assertEqual(answer.status, 0, answer.body)
                self.assertEqual(answer.body, self.expected[index])
                self.assertLessEqual(answer.received, answer.started)
                self.assertLess(answer.started, answer.finished)
                self.assertLess(answer.finished, now)
                self.assertLess(now - answer.received, PATIENCE_S * 1e9)
        return [together[index] for index in sorted(together)]


def reference(model: dict, request: dict) -> bytes:
    """The ids of a request, by the engines alone, as little-endian u32."""
    from tokenizers import Tokenizer

    from llmbench_worker.engines.jinja2_template import load
    from llmbench_worker.inputs import normalized
    from llmbench_worker.model import Model

    text = load(Model(model, TIMESTAMP), "render").call((normalized(request["messages"]), request.get("tools")))
    tokenizer = Tokenizer.from_file(f"{model['dir']}/tokenizer.json")
    tokenizer.no_truncation()
    return u32(tokenizer.encode(text, add_special_tokens=False).ids)
