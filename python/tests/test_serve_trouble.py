"""What goes wrong in a server: dead workers, stuck requests, bad frames, strategies that are not to be had."""

import json
import os
import signal
import socket
import sys
import time
import unittest
from importlib.util import find_spec

from .serve_client import HEADER, PIPELINE, TRANSFORMERS, ServeTest, gone
from .support import needs, u32

CONTROL = [sys.executable, "-m", "llmbench_worker.serve"]


@needs("numpy", "jinja2", "tokenizers")
class DeadWorkers(ServeTest):
    def test_a_pool_that_lost_a_worker_answers_with_errors(self):
        for result in ("pickle", "shared-memory"):
            served = self.serve("process-pool", 2, result=result)
            os.kill(served.ready["processes"][1], signal.SIGKILL)
            connection = self.connect(served)
            deadline = time.monotonic() + 30
            while (answer := connection.ask(self.bodies[0])).status == 0:
                self.assertLess(time.monotonic(), deadline, "the pool did not notice")
            self.assertIn("process", answer.message)
            for index, body in enumerate(self.bodies):
                connection.send(index, body)
            self.assertEqual({connection.receive()[1].status for _ in self.bodies}, {1})
            stats = served.ask("stats")
            self.assertEqual(stats["in_flight"], 0)
            pids = served.pids()
            served.send("bye")
            self.assertEqual(served.process.wait(60), 0)
            self.assertTrue(gone(pids))

    def test_a_worker_that_dies_in_the_middle_of_a_request_fails_that_request(self):
        served = self.launch("process-pool", 2, env={"LLMBENCH_TEST_FAULT": "crash:hf-tokenizers/encode"})
        self.assertEqual(served.ready["type"], "fatal")  # already when it is warmed
        self.assertEqual(served.process.wait(60), 0)

    def test_a_dead_sidecar_gives_errors(self):
        served = self.serve("sidecar", 1)
        connection = self.connect(served)
        self.assertEqual(connection.ask(self.bodies[0]).body, self.expected[0])
        (sidecar,) = set(served.ready["processes"]) - {served.process.pid}
        os.kill(sidecar, signal.SIGSTOP)  # so that the next request is under way when it dies
        connection.send(5, self.bodies[0])
        while served.ask("stats")["in_flight"] == 0:
            time.sleep(0.01)
        os.kill(sidecar, signal.SIGKILL)
        index, answer = connection.receive()
        self.assertEqual((index, answer.status), (5, 1))
        self.assertIn("sidecar", answer.message)
        self.assertIn("sidecar", connection.ask(self.bodies[0]).message)
        served.send("bye")
        self.assertEqual(served.process.wait(60), 0)

    @needs("uvicorn")
    def test_an_http_worker_that_dies_takes_no_other_with_it(self):
        served = self.serve("http-workers", 2)
        os.kill(served.ready["processes"][1], signal.SIGKILL)
        self.assertEqual(self.connect(served).ask(self.bodies[0]).body, self.expected[0])
        self.assertEqual(served.ask("stats")["answered"], 1)

    @needs("uvicorn")
    def test_http_answers_404_elsewhere(self):
        connection = self.connect(self.serve("http-workers", 1))
        self.assertEqual(connection.post("/v1/models", b"{}")[0], 404)


@needs("numpy", "jinja2", "tokenizers")
class Stuck(ServeTest):
    FAULT = "hang:hf-tokenizers/encode"

    def test_a_planted_fault_shows_in_the_ids(self):
        served = self.serve("micro-batch", 1, env={"LLMBENCH_TEST_FAULT": "ids:hf-tokenizers/encode"})
        answer = self.connect(served).ask(self.bodies[0])
        self.assertEqual(len(answer.body), len(self.expected[0]))
        self.assertNotEqual(answer.body, self.expected[0])

    def test_a_server_that_is_stuck_while_it_loads_ends_with_stdin(self):
        for strategy in ("executor", "process-pool"):
            served_pids = set()
            served = self.hanging(strategy)
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:  # until it is in the call that hangs, more or less
                served_pids |= served.pids()
                time.sleep(0.1)
            served.process.stdin.close()
            self.assertEqual(served.process.wait(60), 0, served.stderr())
            self.assertTrue(gone(served_pids))

    def test_bye_need_not_wait_for_a_drain(self):
        served = self.serve("sidecar", 1)
        (sidecar,) = set(served.ready["processes"]) - {served.process.pid}
        os.kill(sidecar, signal.SIGSTOP)
        pids = served.pids()
        self.connect(served).send(1, self.bodies[0])
        while served.ask("stats")["in_flight"] == 0:
            time.sleep(0.01)
        served.send("drain")  # which will not be answered
        served.send("bye")
        self.assertEqual(served.process.wait(60), 0, served.stderr())
        self.assertTrue(gone(pids))

    def hanging(self, strategy: str):
        from .serve_client import Served

        served = Served({"LLMBENCH_TEST_FAULT": self.FAULT})
        self.addCleanup(served.__exit__)
        served.send("start", **self.start_fields(strategy, 1))
        return served


@needs("numpy", "jinja2", "tokenizers")
class Frames(ServeTest):
    def test_frames_may_come_in_any_pieces(self):
        served = self.serve("inline", 1)
        connection = self.connect(served)
        stream = b"".join(HEADER.pack(len(body), index) + body for index, body in enumerate(self.bodies))
        for size in (1, 11, 13, 1000, len(stream)):
            for at in range(0, len(stream), size):
                connection.socket.sendall(stream[at : at + size])
            answers = dict(connection.receive() for _ in self.bodies)
            self.assertEqual([answers[index].body for index in range(len(self.bodies))], self.expected)

    def test_a_frame_that_is_too_long_closes_its_connection_only(self):
        served = self.serve("inline", 1)
        bad, good = self.connect(served), self.connect(served)
        bad.socket.sendall(HEADER.pack((64 << 20) + 1, 0))
        with self.assertRaises((ConnectionError, OSError)):
            bad.receive()
        self.assertEqual(good.ask(self.bodies[0]).body, self.expected[0])

    def test_a_client_that_leaves_disturbs_nobody(self):
        served = self.serve("executor", 2)
        leaving, staying = self.connect(served), self.connect(served)
        for index, body in enumerate(self.bodies):
            leaving.send(index, body)
        leaving.socket.shutdown(socket.SHUT_RDWR)
        leaving.close()
        self.assertEqual(staying.ask(self.bodies[3]).body, self.expected[3])
        served.ask("drain")
        self.assertEqual(served.ask("stats")["in_flight"], 0)

    def test_more_ids_than_a_slot_holds_and_more_requests_than_slots(self):
        served = self.serve("process-pool", 2, result="shared-memory")
        connection = self.connect(served)
        content = "x" * 300_000
        answer = connection.ask(json.dumps({"messages": [{"role": "user", "content": content}]}).encode())
        self.assertEqual(answer.status, 0)
        self.assertEqual(answer.body.count(u32([answer.body[4 * 100]])), 300_000)
        total = 300
        for index in range(total):
            connection.send(index, self.bodies[index % len(self.bodies)])
        for _ in range(total):
            index, answer = connection.receive()
            self.assertEqual(answer.body, self.expected[index % len(self.bodies)])


@needs("numpy", "jinja2", "tokenizers")
class NotToBeHad(ServeTest):
    def refused(self, kind: str, *words: str, env: dict | None = None, start: dict | None = None, **fields: object):
        served = self.launch(fields.pop("strategy", "inline"), fields.pop("workers", 1), env=env, **fields)
        self.assertEqual((served.ready["type"], served.ready.get("kind")), ("fatal", kind), served.ready)
        for word in words:
            self.assertIn(word, served.ready["message"])
        self.assertEqual(served.process.wait(60), 0, served.stderr())

    def test_strategies_and_parameters_that_do_not_exist(self):
        self.refused("unavailable", "telepathy", "process-pool", strategy="telepathy")
        self.refused("unavailable", "objects", "per-thread", strategy="executor", objects="borrowed")
        self.refused("failed", "threads", strategy="executor", threads=0)
        self.refused("failed", "workers", workers=0)
        self.refused("failed", "wait_ms", strategy="micro-batch", wait_ms=-1)
        self.refused("unavailable", "command", strategy="sidecar", sidecar="rust")
        self.refused("failed", "nowhere", strategy="sidecar", sidecar="rust", command=["/nowhere"])
        self.refused("unavailable", "nope/encode", pipeline={**PIPELINE, "tokenize": "nope/encode"})

    def test_an_engine_that_is_not_there_is_said_by_whoever_lacks_it(self):
        lacking = {**PIPELINE, "tokenize": "nope/encode"}
        strategies = ["executor", "process-pool", "sidecar", *(["http-workers"] if find_spec("uvicorn") else [])]
        for strategy in strategies:
            with self.subTest(strategy):
                self.refused("unavailable", "nope/encode", strategy=strategy, workers=2, pipeline=lacking)
        if find_spec("granian"):
            self.refused("unavailable", "nope/encode", strategy="http-workers", server="granian", pipeline=lacking)

    @unittest.skipIf(sys.version_info >= (3, 12), "NOT TESTED HERE: this Python has subinterpreters")
    def test_subinterpreters_need_3_12(self):
        self.refused("unavailable", "3.12", strategy="subinterpreters")

    @unittest.skipIf(sys.version_info < (3, 12), "NOT TESTED HERE: this Python has no subinterpreters of their own GIL")
    def test_subinterpreters_render_with_jinja2_only(self):
        self.refused("unavailable", "tokenizers", "jinja2", strategy="subinterpreters", pipeline=TRANSFORMERS)

    @unittest.skipIf(getattr(sys, "_is_gil_enabled", lambda: True)() is False, "NOT TESTED HERE: there is no GIL")
    def test_free_threaded_needs_an_interpreter_without_the_gil(self):
        self.refused("unavailable", "GIL", "free-threaded build", strategy="free-threaded")

    @unittest.skipIf(getattr(sys, "_is_gil_enabled", lambda: True)(), "NOT TESTED HERE: this Python has a GIL")
    def test_free_threaded_runs_without_the_gil(self):
        for objects in ("shared", "per-thread"):
            served = self.serve("free-threaded", 2, objects=objects)
            self.assertEqual(served.ready["gil"], "disabled")
            self.check_answers(served)

    @unittest.skipIf(find_spec("uvloop"), "NOT TESTED HERE: uvloop is installed")
    def test_a_loop_that_is_not_installed(self):
        for strategy in ("inline", "http-workers"):
            self.refused("unavailable", "uvloop", "pip install", strategy=strategy, loop="uvloop")

    @unittest.skipUnless(find_spec("uvloop"), "NOT TESTED HERE: uvloop is not installed")
    def test_another_loop(self):
        self.check_answers(self.serve("executor", 2, loop="uvloop"))
        self.check_answers(self.serve("http-workers", 2, loop="uvloop"))

    @needs("tiktoken")
    def test_a_tokenizer_without_a_batch_call(self):
        pipeline = {**PIPELINE, "tokenize": "tiktoken/encode"}
        self.refused("unavailable", "encode_batch", strategy="micro-batch", pipeline=pipeline)

    def test_a_socket_that_cannot_be_opened(self):
        fields = self.start_fields("inline", 1)
        served = self.launch("inline", 1)
        self.assertEqual(served.ready["type"], "ready")
        fields["socket"] = str(self.folder / ("long" * 40))
        from .serve_client import Served

        other = Served()
        self.addCleanup(other.__exit__)
        answer = other.ask("start", **fields)
        self.assertEqual((answer["type"], answer["kind"]), ("fatal", "failed"))
        self.assertIn("short path", answer["message"])

    def test_another_protocol_and_a_missing_field(self):
        from .serve_client import Served

        for change, word in (({"protocol": 2}, "protocol 1"), ({"pipeline": None}, "pipeline")):
            fields = {**self.start_fields("inline", 1), **change}
            served = Served()
            self.addCleanup(served.__exit__)
            answer = served.ask("start", **{key: value for key, value in fields.items() if value is not None})
            self.assertEqual(answer["type"], "fatal")
            self.assertIn(word, answer["message"])
            self.assertEqual(served.process.wait(60), 0)

    def test_a_sidecar_by_its_command_speaks_the_same_protocol(self):
        served = self.serve(
            "sidecar", 2, sidecar="rust", command=CONTROL, sidecar_strategy="executor", sidecar_pipeline=PIPELINE
        )
        self.assertEqual(len(served.ready["processes"]), 2)
        self.check_answers(served)
