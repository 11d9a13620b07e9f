"""Every strategy: each request gets its own ids and is counted, fails alone; drain, bye, and no process left."""

import json
import os
import signal
import sys
import time
import unittest
from importlib.util import find_spec
from typing import ClassVar

from .serve_client import TRANSFORMERS, ServeTest, gone
from .support import needs

LACKING = [name for name in ("jinja2", "tokenizers", "numpy") if find_spec(name) is None]

RAISES = json.dumps({"messages": [{"role": "user", "content": "raise"}]}).encode()
"""A request that the template refuses."""


class Life:
    """What holds for every strategy. A class below names one and its parameters."""

    STRATEGY = ""
    WORKERS = 2
    PARAMS: ClassVar[dict] = {}
    PROCESSES = 1

    def setUp(self) -> None:
        self.served = self.serve(self.STRATEGY, self.WORKERS, **self.PARAMS)

    def test_from_ready_to_bye(self):
        # One server for all of it: starting takes longer than what is tested.
        for part in (self.each_request_gets_its_own_ids, self.a_request_that_fails_fails_alone, self.drain):
            with self.subTest(part.__name__):
                part()
        self.bye_ends_every_process()

    def each_request_gets_its_own_ids(self):
        served = self.served
        self.assertEqual(served.ready["pid"], served.process.pid)
        self.assertIn(served.process.pid, served.ready["processes"])
        self.assertEqual(len(set(served.ready["processes"])), self.PROCESSES)
        self.assertLessEqual(set(served.ready["processes"]), served.pids())
        self.assertIn("tokenizers", served.ready["versions"])
        self.check_answers(served)
        stats = served.ask("stats")
        self.assertEqual(stats.pop("type"), "stats")
        count = len(self.bodies)
        counters = {name: stats[name] for name in ("received", "answered", "failed", "in_flight")}
        self.assertEqual(counters, {"received": count, "answered": count, "failed": 0, "in_flight": 0})
        self.assertGreater(stats["loop_lag"]["max_ns"], 0)
        self.assertLessEqual(stats["loop_lag"]["p50_ns"], stats["loop_lag"]["p99_ns"])
        if served.ready["endpoint"].startswith("http:"):
            self.assertEqual(sum(stats["by_process"]), count)
        self.assertEqual(served.ask("reset"), {"type": "done"})
        self.assertEqual(served.ask("stats")["received"], 0)

    def a_request_that_fails_fails_alone(self):
        connection = self.connect(self.served)
        for bad, word in (
            (b"{", "JSON"),
            (b"[]", "messages"),
            (b'{"messages": 3}', "messages"),
            (RAISES, "this model knows no raising"),
        ):
            with self.subTest(body=bad):
                answer = connection.ask(bad)
                self.assertEqual(answer.status, 1)
                self.assertIn(word, answer.message)
                self.assertLessEqual(answer.received, answer.started)
                self.assertLessEqual(answer.started, answer.finished)
        self.check_answers(self.served)
        stats = self.served.ask("stats")
        self.assertEqual((stats["failed"], stats["answered"]), (4, len(self.bodies)))
        self.served.ask("reset")

    def drain(self):
        """Lets nothing in any more; reset opens again."""
        connection = self.connect(self.served)
        for index, body in enumerate(self.bodies):
            connection.send(index, body)
        if not self.served.ready["endpoint"].startswith("http:"):
            # All of them, before or after the drain.
            self.assertEqual(self.served.ask("drain"), {"type": "done"})
            answers = dict(connection.receive() for _ in self.bodies)
            self.assertEqual(len(answers), len(self.bodies))
            for index, answer in answers.items():
                if answer.status == 0:
                    self.assertEqual(answer.body, self.expected[index])
                else:
                    self.assertIn("draining", answer.message)
        else:
            self.assertEqual(self.served.ask("drain"), {"type": "done"})
        answer = self.connect(self.served).ask(self.bodies[0])
        self.assertEqual(answer.status, 1)
        self.assertIn("draining", answer.message)
        self.assertEqual(self.served.ask("stats")["in_flight"], 0)
        self.served.ask("reset")
        self.assertEqual(self.connect(self.served).ask(self.bodies[0]).body, self.expected[0])

    def bye_ends_every_process(self):
        pids = self.served.pids()
        self.connect(self.served).send(1, self.bodies[0])
        self.served.send("bye")
        self.assertEqual(self.served.process.wait(60), 0, self.served.stderr())
        self.assertTrue(gone(pids), pids)
        self.assertEqual([path.name for path in self.folder.iterdir() if ".sock" in path.name], [])
        self.assertEqual(self.served.stderr(), "")


class Ends:
    """How else the processes of a strategy end. For those that have some, and one that has not."""

    def test_the_end_of_stdin_ends_every_process(self):
        pids = self.served.pids()
        self.assertEqual(self.served.end(), 0, self.served.stderr())
        self.assertTrue(gone(pids), pids)

    @unittest.skipUnless(sys.platform == "linux", "NOT TESTED HERE: needs PR_SET_PDEATHSIG of Linux")
    def test_the_death_of_the_server_ends_every_process(self):
        pids = self.served.pids()
        for pid in pids:
            os.kill(pid, signal.SIGINT)  # which must not matter
        time.sleep(0.1)
        self.assertEqual(self.connect(self.served).ask(self.bodies[0]).body, self.expected[0])
        self.served.process.kill()
        self.served.process.wait()
        self.assertTrue(gone(pids), pids)


def case(
    name: str, strategy: str, processes: int = 1, workers: int = 2, requires: tuple = (), **params: object
) -> None:
    """Makes the test class of one row."""
    fields = {"STRATEGY": strategy, "WORKERS": workers, "PROCESSES": processes, "PARAMS": params}
    bases = (Life, Ends, ServeTest) if processes > 1 or name == "Inline" else (Life, ServeTest)
    made = type(name, bases, {**fields, "__module__": __name__, "__qualname__": name})
    for package in requires:
        made = needs(package)(made)
    if LACKING:
        made = unittest.skip(f"NOT TESTED HERE: {', '.join(LACKING)} not installed in {sys.executable}")(made)
    globals()[name] = made


case("Inline", "inline")
case("InlineTransformers", "inline", requires=("transformers",), pipeline=TRANSFORMERS)
case("ExecutorOfOne", "executor", threads=1)
case("ExecutorShared", "executor", objects="shared", requires=("transformers",), pipeline=TRANSFORMERS)
case("ExecutorPerThread", "executor", objects="per-thread", requires=("transformers",), pipeline=TRANSFORMERS)
case("MicroBatch", "micro-batch", wait_ms=0)
case("MicroBatchWaits", "micro-batch", wait_ms=2, max_batch=8)
case("InnerParallelismOn", "inner-parallelism", parallelism="on", threads=2)
case("InnerParallelismOff", "inner-parallelism", parallelism="off", threads=1)
case("PoolPickle", "process-pool", processes=3, result="pickle")
case("PoolBytes", "process-pool", processes=3, result="bytes")
case("PoolSharedMemory", "process-pool", processes=3, result="shared-memory")
case("Uvicorn", "http-workers", processes=3, requires=("uvicorn",), server="uvicorn")
case("Granian", "http-workers", processes=4, requires=("granian",), server="granian")
case("Sidecar", "sidecar", processes=3, sidecar="python")
if sys.version_info >= (3, 12):
    case("Subinterpreters", "subinterpreters")
