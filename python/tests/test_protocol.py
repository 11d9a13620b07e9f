"""The protocol: what the worker answers, what it never lets through, and how it ends."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from .support import ALL_PAIRS, PATIENCE_S, ROOT, Subject, WorkerTest, needs, op

PARSE = "pydantic/json.loads+model_validate"


class Hello(WorkerTest):
    def test_ready_says_what_the_worker_is(self):
        ready = self.start(["pickle/dumps"]).ready
        version = ".".join(map(str, sys.version_info[:3]))
        self.assertEqual(ready["protocol"], 1)
        self.assertEqual(ready["worker"], "python")
        self.assertTrue(ready["interpreter"].endswith(f" {version}"), ready)
        self.assertIn(ready["gil"], ("enabled", "disabled"))
        self.assertEqual(ready["versions"], {})
        self.assertEqual(ready["unavailable"], {})
        for fact in ("free_threaded", "pgo", "lto", "optimization", "compiler", "switch_interval_us"):
            self.assertIsInstance(ready["build"][fact], str)
        for cost in ("clock_pair_ns", "loop_overhead_ns", "load_ns"):
            self.assertGreater(ready[cost], 0, cost)
        self.assertLess(ready["loop_overhead_ns"], 100_000)

    @needs("jinja2", "tokenizers")
    def test_versions_are_those_of_what_was_asked_for(self):
        from importlib.metadata import version

        ready = self.start(["jinja2/render", "hf-tokenizers/encode"]).ready
        self.assertEqual(set(ready["versions"]), {"jinja2", "markupsafe", "tokenizers"})
        self.assertEqual(ready["versions"]["tokenizers"], version("tokenizers"))

    def test_another_protocol_and_a_missing_model_are_fatal_and_exit_with_0(self):
        for change, word in (({"protocol": 99}, "protocol 1"), ({"model": {"dir": "/nowhere"}}, "/nowhere")):
            with Subject() as subject:
                hello = {"protocol": 1, "model": self.model, "timestamp": 0, "engines": [], **change}
                subject.send("hello", **hello)
                answer = subject.receive()
                self.assertEqual(answer["type"], "fatal")
                self.assertIn(word, answer["message"])
                self.assertEqual(subject.process.wait(PATIENCE_S), 0)

    def test_a_missing_package_is_unavailable_with_the_remedy(self):
        """A module of that name that cannot be imported stands in front of the real one."""
        with tempfile.TemporaryDirectory() as folder:
            for name in ("tokenizers", "jinja2", "transformers", "pydantic", "numpy"):
                raised = f"raise ModuleNotFoundError(\"No module named '{name}'\", name='{name}')\n"
                (Path(folder) / f"{name}.py").write_text(raised)
            (Path(folder) / "msgspec.py").write_text("raise ImportError('undefined symbol: x\\nsecond line')\n")
            subject = self.start(ALL_PAIRS, first_on_path=Path(folder))
            reasons = subject.ready["unavailable"]
            for pair, package in (
                (PARSE, "pydantic"),
                ("jinja2/render", "jinja2"),
                ("hf-tokenizers/encode", "tokenizers"),
                ("transformers/apply_chat_template", "transformers"),
                ("transformers/__call__", "transformers"),
                ("numpy/pad", "numpy"),
                ("msgspec/msgpack.encode", "msgspec"),
            ):
                self.assertIn(f"pip install {package}", reasons[pair])
            self.assertIn("undefined symbol: x second line", reasons["msgspec/msgpack.encode"])
            self.assertNotIn("pickle/dumps", reasons)
            answer = subject.prepare("c", op("hf-tokenizers/encode", "tokenize"), self.inputs)[-1]
            self.assertEqual((answer["type"], answer["kind"]), ("error", "unavailable"))
            # handoff by pickle is there, but its ids come from tokenizers
            answer = subject.prepare("c", op("pickle/dumps", "handoff"), self.inputs, check=1)[-1]
            self.assertEqual((answer["type"], answer["kind"]), ("error", "unavailable"))
            subject.send("bye")
            self.assertEqual(subject.process.wait(PATIENCE_S), 0)

    @needs("transformers")
    def test_torch_is_not_imported_for_transformers(self):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "torch.py").write_text("print('torch was imported', flush=True)\n__version__ = '9.9.9'\n")
            pairs = ["transformers/apply_chat_template", "transformers/__call__"]
            subject = self.start(pairs, first_on_path=Path(folder))
            self.assertEqual(subject.ready["unavailable"], {})
            for pair, name in zip(pairs, ("template", "tokenize"), strict=True):
                self.assertEqual(len(self.hashes(subject, op(pair, name))), 8)
            self.assertEqual(subject.end(), 0)
            self.assertEqual(subject.stderr(), "")


class Cells(WorkerTest):
    def test_a_cell_that_was_not_prepared_is_an_error_and_the_worker_lives_on(self):
        subject = self.start([])
        for answer in (subject.block("nobody")[-1], subject.dump("nobody", 0)):
            self.assertEqual((answer["type"], answer["cell_id"], answer["kind"]), ("error", "nobody", "failed"))
            self.assertIn("not prepared", answer["message"])
        self.assertEqual(subject.end(), 0)

    @needs("pydantic")
    def test_input_files_that_are_missing_or_short(self):
        subject = self.start([PARSE])
        missing = {**self.inputs, "requests": "/nowhere/requests.jsonl"}
        self.assertIn("FileNotFoundError", subject.prepare("c", op(PARSE, "parse"), missing)[-1]["message"])
        short = {**self.inputs, "pool": 500}
        self.assertIn("truncated", subject.prepare("c", op(PARSE, "parse"), short)[-1]["message"])
        self.assertEqual(subject.prepare("c", op(PARSE, "parse"), self.inputs)[-1]["type"], "done")
        self.assertIn("no request 8", subject.dump("c", 8)["message"])

    @needs("pydantic")
    def test_warming_up_without_warm_up_requests_is_an_error(self):
        subject = self.start([PARSE])
        answer = subject.prepare("c", op(PARSE, "parse"), {**self.inputs, "warmup": 0}, warm_ns=1)[-1]
        self.assertIn("no warm-up requests", answer["message"])


class Ends(WorkerTest):
    def test_bye_and_the_end_of_the_input_exit_with_0(self):
        self.assertEqual(self.start([]).end(), 0)
        with Subject() as subject:
            subject.send("bye")
            self.assertEqual(subject.process.wait(PATIENCE_S), 0)

    def test_a_request_that_makes_no_sense_exits_with_1_and_says_why_last(self):
        for line in (b"\xff not json", b'["a list"]', b'{"type":"dance"}', b'{"type":"block","cell_id":"c"}'):
            with self.subTest(line), Subject() as subject:
                if b"dance" in line:
                    subject.hello(self.model, [])
                subject.send_line(line)
                self.assertEqual(subject.process.wait(PATIENCE_S), 1)
                self.assertEqual(subject.line(), b"")
                stderr = subject.stderr()
                self.assertIn("Traceback", stderr)
                self.assertRegex(stderr.splitlines()[-1], r"^\w*Error: .+")

    def test_a_termination_signal_ends_it_at_once(self):
        subject = self.start([])
        subject.process.terminate()
        self.assertEqual(subject.process.wait(PATIENCE_S), -15)

    def test_children_do_not_inherit_the_answers(self):
        script = (
            "import os, subprocess, sys\n"
            "from llmbench_worker.channel import Channel\n"
            "channel = Channel.open()\n"
            "print('stray')\n"
            "child = 'import os, sys; os.fstat(int(sys.argv[1]))'\n"
            "fd = os.environ['LLMBENCH_ANSWER_FD']\n"
            "command = [sys.executable, '-c', child, fd]\n"
            "code = subprocess.run(command, close_fds=False, stderr=subprocess.DEVNULL).returncode\n"
            "channel.answer('done', code=code)\n"
        )
        read, write = os.pipe()
        env = {**os.environ, "LLMBENCH_ANSWER_FD": str(write)}
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env=env,
            pass_fds=(write,),
            capture_output=True,
            timeout=PATIENCE_S,
            check=True,
        )
        os.close(write)
        with os.fdopen(read, "rb") as answers:
            self.assertEqual(json.loads(answers.read()), {"type": "done", "code": 1})
        self.assertEqual((done.stdout, done.stderr), (b"", b"stray\n"))

    def test_by_hand_it_explains_itself(self):
        done = self.run_by_hand()
        self.assertEqual(done.returncode, 2)
        self.assertIn("llmbench starts it", done.stderr)
        self.assertEqual(self.run_by_hand("--version").stdout.split()[0], "llmbench_worker")

    def test_describe_lists_every_pair_once(self):
        from llmbench_worker.engines import TABLE

        described = json.loads(self.run_by_hand("--describe").stdout)
        self.assertEqual(sorted([*described["available"], *described["unavailable"]]), sorted(TABLE))
        self.assertIn("pickle/dumps", described["available"])
        if sys.platform == "linux":
            self.assertEqual(described["build"]["clock"], "clock_gettime(CLOCK_MONOTONIC)")

    @staticmethod
    def run_by_hand(*arguments: str) -> subprocess.CompletedProcess:
        env = {name: value for name, value in os.environ.items() if name != "LLMBENCH_ANSWER_FD"}
        return subprocess.run(
            [sys.executable, "-m", "llmbench_worker", *arguments],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )


class Faults(WorkerTest):
    """The faults that end-to-end tests ask for, and with them that strays and failures stay where they belong."""

    PAIR = "hf-tokenizers/encode"

    def faulty(self, kind: str, pair: str = PAIR) -> Subject:
        return self.start([self.PAIR, "jinja2/render"], env={"LLMBENCH_TEST_FAULT": f"{kind}:{pair}"})

    @needs("tokenizers", "jinja2")
    def test_a_stray_print_does_not_reach_the_answers(self):
        subject = self.faulty("print")
        self.assertEqual(len(self.hashes(subject, op(self.PAIR, "tokenize"))), 8)
        self.assertEqual([answer["type"] for answer in subject.block("check", loops=3)], ["sample", "done"])
        self.assertEqual(subject.end(), 0)
        self.assertEqual(subject.process.stdout.read(), b"")
        self.assertIn("a stray print", subject.stderr())

    @needs("tokenizers", "jinja2")
    def test_ids_and_text_are_wrong_where_the_fault_says(self):
        right = self.start([self.PAIR, "jinja2/render"])
        right.prepare("c", op(self.PAIR, "tokenize"), self.inputs)
        wrong = self.faulty("ids")
        wrong.prepare("c", op(self.PAIR, "tokenize"), self.inputs)
        expected, flipped = (subject.dump("c", 5)["output"]["ids"] for subject in (right, wrong))
        self.assertEqual([index for index in range(len(expected)) if expected[index] != flipped[index]], [3])
        wrong = self.faulty("text", "jinja2/render")
        for subject in (right, wrong):
            subject.prepare("c", op("jinja2/render", "template"), self.inputs)
        expected, replaced = (subject.dump("c", 5)["output"]["text"] for subject in (right, wrong))
        self.assertEqual(expected[:-1], replaced[:-1])
        self.assertNotEqual(expected, replaced)

    @needs("tokenizers", "jinja2")
    def test_out_of_memory_is_an_error_of_the_cell(self):
        subject = self.faulty("oom")
        answer = subject.prepare("c", op(self.PAIR, "tokenize"), self.inputs, check=1)[-1]
        self.assertEqual((answer["type"], answer["kind"]), ("error", "failed"))
        self.assertIn("MemoryError", answer["message"])
        self.assertIn("fewer tokens", answer["message"])
        self.assertEqual(
            subject.prepare("d", op("jinja2/render", "template"), self.inputs, check=1)[-1]["type"], "done"
        )

    @needs("tokenizers", "jinja2")
    def test_crash_exit_garbage_and_hang(self):
        request = {"op": op(self.PAIR, "tokenize"), "timing": {"kind": "loop"}, "inputs": self.inputs}
        for kind, status in (("crash", -9), ("exit", 3), ("garbage", None), ("hang", None)):
            with self.subTest(kind):
                subject = self.faulty(kind)
                subject.send("prepare", cell_id="c", check=1, warmup_ns=0, **request)
                if status is not None:
                    self.assertEqual(subject.process.wait(PATIENCE_S), status)
                    self.assertEqual(subject.line(), b"")
                elif kind == "garbage":
                    with self.assertRaises(ValueError):
                        json.loads(subject.line())
                    self.assertEqual(subject.until_done()[-1]["type"], "done")
                else:
                    with self.assertRaises(subprocess.TimeoutExpired):
                        subject.process.wait(0.3)

    def test_a_fault_that_is_misspelt_is_fatal(self):
        with Subject(env={"LLMBENCH_TEST_FAULT": "tickle:pickle/dumps"}) as subject:
            answer = subject.hello(self.model, [])
            self.assertEqual(answer["type"], "fatal")
            self.assertIn("hang", answer["message"])
