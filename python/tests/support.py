"""A tiny model, its workload, and the real worker as a subprocess, driven over pipes as llmbench drives it."""

import hashlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
import unittest
from base64 import b64encode
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TIMESTAMP = 1_700_000_000  # 2023-11-14 22:13:20 UTC
PATIENCE_S = 120.0
"""How long an answer may take on a slow machine before the test fails."""

ALL_PAIRS = [
    "pydantic/json.loads+model_validate",
    "transformers/apply_chat_template",
    "jinja2/render",
    "hf-tokenizers/encode",
    "hf-tokenizers/encode_batch",
    "transformers/__call__",
    "tiktoken/encode",
    "numpy/pad",
    "msgspec/msgpack.encode",
    "pickle/dumps",
]

GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

TEMPLATE = """\
{{- bos_token }}
{%- for message in messages %}
    {%- if message.content is defined and message.content is not string %}
        {%- set text = message.content | map(attribute='text') | join %}
    {%- else %}
        {%- set text = message.content or '' %}
    {%- endif %}
    {%- if text == 'raise' %}{{ raise_exception('this model knows no raising') }}{% endif %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- if message.role == 'assistant' %}{% generation %}{{ text }}{% endgeneration %}{% else %}{{ text }}{% endif %}
    {%- if message.tool_calls is defined %}{{ message.tool_calls | tojson }}{% endif %}
    {{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if tools %}{{ tools | tojson(indent=1) }}{% endif %}
{{- strftime_now('%Y-%m-%d %H:%M') }}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
"""


def needs(*packages: str):
    """Skips a test, naming what is missing, where a package is not installed."""
    lacking = [package for package in packages if find_spec(package) is None]
    return unittest.skipIf(lacking, f"NOT TESTED HERE: {', '.join(lacking)} not installed in {sys.executable}")


def byte_alphabet() -> list[str]:
    """GPT-2's printable character for each byte, by byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    characters, extra = {}, 0
    for byte in range(256):
        if byte in printable:
            characters[byte] = chr(byte)
        else:
            characters[byte] = chr(256 + extra)
            extra += 1
    return [characters[byte] for byte in range(256)]


MERGES = [("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), ("t", "he"), ("l", "d"), ("w", "o"), ("r", "d")]
SPECIAL = {"<|bos|>": 264, "<|im_start|>": 265, "<|im_end|>": 266}


def write_model(folder: Path, template: str = TEMPLATE, **config: object) -> dict:
    """Writes the three files of a byte-level BPE model that adds a BOS by itself; returns the request's `model`."""
    folder.mkdir(parents=True, exist_ok=True)
    alphabet = byte_alphabet()
    tokens = alphabet + ["".join(pair) for pair in MERGES]
    added = [
        {
            "id": index,
            "content": text,
            "special": True,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
        }
        for text, index in SPECIAL.items()
    ]
    sequence = {"Sequence": {"id": "A", "type_id": 0}}
    bos = {"SpecialToken": {"id": "<|bos|>", "type_id": 0}}
    tokenizer = {
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 7, "strategy": "LongestFirst", "stride": 0},
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [bos, sequence],
            "pair": [bos, sequence, sequence],
            "special_tokens": {"<|bos|>": {"id": "<|bos|>", "ids": [264], "tokens": ["<|bos|>"]}},
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: index for index, token in enumerate(tokens)},
            "merges": [list(pair) for pair in MERGES],
        },
    }
    settings = {
        "tokenizer_class": "LlamaTokenizerFast",  # must not be believed
        "add_bos_token": True,
        "bos_token": "<|bos|>",
        "eos_token": {"__type": "AddedToken", "content": "<|im_end|>", "lstrip": False, "special": True},
        "pad_token": "<|not in the vocabulary|>",
        "model_max_length": 4,
        **config,
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "chat_template.jinja").write_text(template)
    ranks = folder.parent / "tiny.tiktoken"
    characters = {character: byte for byte, character in enumerate(alphabet)}
    pieces = [bytes(characters[character] for character in token) for token in tokens]
    ranks.write_bytes(b"".join(b64encode(piece) + b" %d\n" % rank for rank, piece in enumerate(pieces)))
    return {
        "dir": str(folder),
        "tiktoken": {"name": "tiny", "ranks": str(ranks), "pattern": GPT2_PATTERN, "special_tokens": SPECIAL},
    }


def chats() -> list[dict]:
    """Eleven requests of different shapes: eight of the pool, three to warm up."""
    tool = {"type": "function", "function": {"parameters": {"b": [1.5, None], "a": "<é>"}, "name": "look"}}
    call = {"id": "c1", "type": "function", "function": {"arguments": {"z": 1, "a": ["ü", True]}, "name": "look"}}
    shapes = [
        {"messages": [{"role": "user", "content": "hello the world"}]},
        {"messages": [{"role": "system", "content": ""}, {"role": "user", "content": "ünïcödé 漢字 🙂\n\n  tab\t"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a "}, {"type": "text", "text": "part"}]}]},
        {
            "messages": [
                {"role": "user", "content": "look"},
                {"role": "assistant", "content": None, "tool_calls": [call]},
            ]
        },
        {"messages": [{"role": "user", "content": "with tools"}], "tools": [tool]},
        {"messages": [{"content": "order", "role": "user"}], "temperature": 0.5, "vendor_option": {"kept": True}},
        {
            "messages": [
                {"role": "user", "content": "<|im_end|> as text"},
                {"role": "assistant", "content": "the hello"},
            ]
        },
        {"messages": [{"role": "user", "content": "word " * 50}], "stream": True},
    ]
    warm = [{"messages": [{"role": "user", "content": f"warming {index}"}]} for index in range(3)]
    return [{"model": "tiny", **shape} for shape in shapes + warm]


def write_inputs(folder: Path, requests: list[dict] | None = None, warmup: int = 3) -> dict:
    """Writes both input files; the texts are simple, since what a template makes of a request is tested elsewhere."""
    requests = chats() if requests is None else requests
    texts = [
        "".join(f"<|im_start|>{json.dumps(message)}<|im_end|>\n" for message in request["messages"])
        for request in requests
    ]
    for name, values in (("requests", requests), ("texts", texts)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(value) + "\n" for value in values))
    return {
        "requests": str(folder / "requests.jsonl"),
        "texts": str(folder / "texts.jsonl"),
        "pool": len(requests) - warmup,
        "warmup": warmup,
    }


def texts_of(inputs: dict) -> list[str]:
    return [json.loads(line) for line in Path(inputs["texts"]).read_text().splitlines()]


def op(pair: str, name: str, threads: int = 1, **params: object) -> dict:
    engine, _, call_path = pair.partition("/")
    return {"name": name, "engine": engine, "call_path": call_path, "threads": threads, "params": params}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def u32(ids: list[int]) -> bytes:
    return b"".join(index.to_bytes(4, "little") for index in ids)


def i64(values: list[int]) -> bytes:
    return b"".join(value.to_bytes(8, "little") for value in values)


class Subject:
    """The worker as a subprocess."""

    def __init__(
        self,
        env: dict[str, str] | None = None,
        first_on_path: Path | None = None,
        program: list[str] | None = None,
    ) -> None:
        """`program` is the command of another worker."""
        read, write = os.pipe()
        path = os.pathsep.join(str(part) for part in (first_on_path, ROOT) if part)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LLMBENCH_", "PYTHON"))}
        fixed = {
            "PYTHONPATH": path,
            "LLMBENCH_ANSWER_FD": str(write),
            "TOKENIZERS_PARALLELISM": "false",
            "RAYON_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "PYTHONHASHSEED": "7",
            "TZ": "UTC",
        }
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the subject
        self.process = subprocess.Popen(
            program or [sys.executable, "-m", "llmbench_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            pass_fds=(write,),
            env={**kept, **fixed, **(env or {})},
        )
        os.close(write)
        self._answers = read
        self._buffer = b""

    def __enter__(self) -> "Subject":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()
        os.close(self._answers)

    def send(self, kind: str, /, **fields: object) -> None:
        self.send_line(json.dumps({"type": kind, **fields}).encode())

    def send_line(self, line: bytes) -> None:
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def line(self) -> bytes:
        """The next line of the answers; empty at their end."""
        deadline = time.monotonic() + PATIENCE_S
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError("no answer came in time; stderr: " + self.stderr())
            data = os.read(self._answers, 65536)
            if not data:
                return b""
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def receive(self) -> dict:
        line = self.line()
        if not line:
            raise AssertionError("the worker ended; stderr: " + self.stderr())
        return json.loads(line)

    def until_done(self) -> list[dict]:
        """All answers up to and with `done`, `error`, `dump` or `fatal`."""
        answers = [self.receive()]
        while answers[-1]["type"] not in ("done", "error", "dump", "fatal"):
            answers.append(self.receive())
        return answers

    def hello(self, model: dict, engines: list[str]) -> dict:
        self.send("hello", protocol=1, model=model, timestamp=TIMESTAMP, engines=engines)
        return self.receive()

    def prepare(self, cell: str, op: dict, inputs: dict, timing: dict | str = "loop", check: int = 0, warm_ns: int = 0):
        timing = {"kind": timing} if isinstance(timing, str) else timing
        self.send("prepare", cell_id=cell, op=op, timing=timing, inputs=inputs, check=check, warmup_ns=warm_ns)
        return self.until_done()

    def block(self, cell: str, loops: int = 1, offset: int = 0, settle_ns: int = 0, block: int = 0) -> list[dict]:
        self.send("block", cell_id=cell, block=block, loops=loops, offset=offset, settle_ns=settle_ns)
        return self.until_done()

    def dump(self, cell: str, index: int) -> dict:
        self.send("dump", cell_id=cell, index=index)
        return self.until_done()[-1]

    def stderr(self) -> str:
        self.errors.seek(0)
        return self.errors.read().decode()

    def end(self) -> int:
        """Closes stdin and waits; the exit status."""
        self.process.stdin.close()
        return self.process.wait(PATIENCE_S)


class WorkerTest(unittest.TestCase):
    """A folder with the tiny model and its inputs, made once a class."""

    @classmethod
    def setUpClass(cls) -> None:
        cls._folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls._folder.cleanup)
        cls.folder = Path(cls._folder.name)
        cls.model = write_model(cls.folder / "model")
        cls.inputs = write_inputs(cls.folder)

    def start(self, engines: list[str], model: dict | None = None, **options: object) -> Subject:
        """A worker that has answered `ready`, kept in `ready` of the subject; ended with the test."""
        subject = Subject(**options)
        self.addCleanup(subject.__exit__)
        subject.ready = subject.hello(model or self.model, engines)
        self.assertEqual(subject.ready["type"], "ready", subject.ready)
        return subject

    def hashes(self, subject: Subject, op: dict, inputs: dict | None = None) -> list[str]:
        """The checks of every request of the pool."""
        inputs = inputs or self.inputs
        answers = subject.prepare("check", op, inputs, check=inputs["pool"])
        self.assertEqual([answer["type"] for answer in answers], ["check", "done"], answers)
        self.assertEqual(len(answers[0]["hashes"]), inputs["pool"])
        return answers[0]["hashes"]
