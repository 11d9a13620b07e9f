"""Parts of the strategies, in this process: objects of their own, the heartbeat, batches, the tokenizer's threads."""

import asyncio
import sys
import time
import unittest
from itertools import pairwise

from llmbench_worker.strategies.counters import Counters
from llmbench_worker.strategies.frames import MAX_PAYLOAD, Splitter
from llmbench_worker.strategies.lag import PERIOD_NS, Heartbeat, summary
from llmbench_worker.strategies.start import Start

from .serve_client import HEADER, PIPELINE, TRANSFORMERS, ServeTest, threads
from .support import TIMESTAMP, needs


@needs("numpy", "jinja2", "tokenizers")
class OwnObjects(ServeTest):
    def pipelines(self, pair: dict, own: bool):
        from llmbench_worker.strategies.pipeline import Pipeline

        start = Start(self.model, TIMESTAMP, "executor", 2, {}, pair, self.inputs)
        return [Pipeline(start, own=own) for _ in range(2)]

    @needs("transformers")
    def test_threads_with_their_own_objects_share_neither_tokenizer_nor_template_environment(self):
        from llmbench_worker.engines.hf_tokenizers import tokenizer
        from llmbench_worker.engines.hf_transformers import tokenizer as of_transformers

        one, two = self.pipelines(TRANSFORMERS, own=True)
        self.assertIsNot(tokenizer(one._model), tokenizer(two._model))
        self.assertIsNot(of_transformers(one._model), of_transformers(two._model))
        compiled = sys.modules["transformers.utils.chat_template_utils"]._compile_jinja_template
        templates = [compiled(of_transformers(each._model).chat_template) for each in (one, two)]
        self.assertIsNot(templates[0], templates[1])
        self.assertIsNot(templates[0].environment, templates[1].environment)
        request = {"messages": [{"role": "user", "content": "hello"}]}
        before = compiled.cache_info().misses
        self.assertEqual(one(request), two(request))
        self.assertEqual(compiled.cache_info().misses, before, "rendering did not use the pipeline's own template")

    @needs("transformers")
    def test_without_that_they_do_share_the_environment(self):
        from llmbench_worker.engines.hf_transformers import tokenizer as of_transformers

        one, two = self.pipelines(TRANSFORMERS, own=False)
        compiled = sys.modules["transformers.utils.chat_template_utils"]._compile_jinja_template
        templates = [compiled(of_transformers(each._model).chat_template) for each in (one, two)]
        self.assertIs(templates[0], templates[1])

    def test_jinja2_templates_of_their_own(self):
        one, two = self.pipelines(PIPELINE, own=True)
        request = {"messages": [{"role": "user", "content": "hello"}]}
        self.assertIsNot(one.template, two.template)
        self.assertEqual(one(request), two(request))


class HeartbeatTest(unittest.TestCase):
    BLOCKED_S = 0.2

    def test_a_blocked_loop_is_late_by_as_long_as_it_was_blocked(self):
        async def run() -> list[int]:
            beat = Heartbeat()
            beat.start()
            await asyncio.sleep(0.05)
            beat.reset()
            time.sleep(self.BLOCKED_S)
            await asyncio.sleep(0.02)
            return beat.late_ns()

        late = asyncio.run(run())
        self.assertGreaterEqual(max(late), self.BLOCKED_S * 1e9 - PERIOD_NS)
        # All beats that should have come meanwhile count, each from its own time.
        self.assertGreaterEqual(len(late), self.BLOCKED_S * 1e9 / PERIOD_NS - 1)
        during = sorted(late, reverse=True)[: int(self.BLOCKED_S * 1e9 / PERIOD_NS) - 1]
        self.assertEqual({earlier - later for earlier, later in pairwise(during)}, {PERIOD_NS})

    def test_percentiles_are_order_statistics(self):
        self.assertEqual(summary(list(range(1, 101))), {"samples": 100, "p50_ns": 50, "p99_ns": 99, "max_ns": 100})
        self.assertEqual(summary([7]), {"samples": 1, "p50_ns": 7, "p99_ns": 7, "max_ns": 7})
        self.assertEqual(summary([])["samples"], 0)


class CountersTest(unittest.TestCase):
    def test_drain_waits_for_the_last(self):
        async def run() -> None:
            counters = Counters()
            self.assertTrue(counters.arrive())
            self.assertTrue(counters.arrive())
            drained = asyncio.ensure_future(counters.drain())
            await asyncio.sleep(0)
            self.assertFalse(counters.arrive())
            counters.leave(True)
            await asyncio.sleep(0)
            self.assertFalse(drained.done())
            counters.leave(False)
            await asyncio.wait_for(drained, 5)
            self.assertEqual(counters.as_dict(), {"received": 3, "answered": 1, "failed": 2, "in_flight": 0})

        asyncio.run(run())


class SplitterTest(unittest.TestCase):
    def test_the_longest_frame_is_allowed_and_no_longer_one(self):
        self.assertEqual(Splitter().feed(HEADER.pack(MAX_PAYLOAD, 1)), [])
        with self.assertRaises(ValueError):
            Splitter().feed(HEADER.pack(MAX_PAYLOAD + 1, 1))

    def test_an_empty_payload_is_a_frame(self):
        self.assertEqual(Splitter().feed(HEADER.pack(0, 9) * 2), [(9, b""), (9, b"")])


@needs("numpy", "jinja2", "tokenizers")
class Batches(ServeTest):
    def burst(self, served) -> dict:
        connection = self.connect(served)
        for index, body in enumerate(self.bodies):
            connection.send(index, body)
        answers = dict(connection.receive() for _ in self.bodies)
        self.assertEqual([answers[index].body for index in range(len(self.bodies))], self.expected)
        return served.ask("stats")["batches"]

    def test_waiting_makes_batches_up_to_the_largest_allowed(self):
        # So long a wait that only full batches and the last one go out, whatever the machine does.
        batches = self.burst(self.serve("micro-batch", 1, wait_ms=500, max_batch=16))
        self.assertEqual(batches["max_size"], 16)
        self.assertEqual(batches["count"], 3)  # 16 + 16 + 8
        self.assertAlmostEqual(batches["mean_size"] * batches["count"], len(self.bodies))

    def test_batches_of_one_are_counted(self):
        batches = self.burst(self.serve("micro-batch", 1, wait_ms=0, max_batch=1))
        self.assertEqual(batches, {"count": len(self.bodies), "mean_size": 1.0, "max_size": 1})

    @unittest.skipUnless(sys.platform == "linux", "NOT TESTED HERE: counts threads in /proc")
    def test_the_tokenizers_own_threads_are_there_only_when_they_are_on(self):
        count = {}
        for parallelism in ("on", "off"):
            # The opposite of what is asked for: the strategy decides, before the library is imported.
            env = {"TOKENIZERS_PARALLELISM": "false" if parallelism == "on" else "true", "RAYON_NUM_THREADS": "3"}
            if parallelism == "on":
                env["RAYON_NUM_THREADS"] = "1"
            served = self.serve("inner-parallelism", 1, env=env, parallelism=parallelism, threads=1)
            self.burst(served)
            count[parallelism] = threads(served.process.pid)
        self.assertGreater(count["on"], count["off"])
