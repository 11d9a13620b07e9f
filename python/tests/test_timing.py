"""The timing loops: what is called how often, on what, and what the samples say."""

import gc
import threading
import time
import unittest
from itertools import groupby, pairwise

from llmbench_worker import batch, clock, timing

from .support import WorkerTest, needs, op

PAIR = "pydantic/json.loads+model_validate"


class Loops(unittest.TestCase):
    def test_loop_cycles_through_the_items(self):
        seen = []
        before = clock.now()
        sample = timing.time_loop(seen.append, [1, 2, 3], 7)
        self.assertEqual(seen, [1, 2, 3, 1, 2, 3, 1])
        self.assertEqual(sample.calls, 7)
        self.assertTrue(before <= sample.start_ns <= sample.end_ns <= clock.now())

    def test_each_gives_a_sample_a_call_with_its_stages(self):
        samples = timing.time_each(lambda item: item * 2, [1, 2], 3, lambda result: {"all": result})
        self.assertEqual([sample.stages for sample in samples], [{"all": 2}, {"all": 4}, {"all": 2}])
        for earlier, later in pairwise(samples):
            self.assertLessEqual(earlier.end_ns, later.start_ns)

    def test_first_gives_the_result(self):
        sample, result = timing.time_first(lambda item: item + 1, 1)
        self.assertEqual((sample.calls, result), (1, 2))

    def test_a_result_is_freed_within_the_sample(self):
        freed = []

        class Result:
            def __del__(self):
                freed.append(clock.now())

        sample = timing.time_loop(lambda _: Result(), [0], 4)
        self.assertEqual(len(freed), 4)
        self.assertLessEqual(max(freed), sample.end_ns)

    def test_collections_are_counted_and_the_collector_stays_on(self):
        self.assertTrue(gc.isenabled())
        sample = timing.time_loop(lambda _: gc.collect(), [0], 3)
        self.assertGreaterEqual(sample.gc, 3)
        gc.collect()
        self.assertEqual(timing.time_loop(lambda _: None, [0], 3).gc, 0)

    def test_call_for_makes_one_call_at_least_and_counts_only_calls(self):
        calls = []
        self.assertGreater(timing.call_for(calls.append, lambda: 1, 1), 0)
        self.assertEqual(len(calls), 1)

    def test_overheads_are_measured(self):
        self.assertGreater(clock.pair_ns(), 0)
        self.assertGreater(clock.loop_overhead_ns(), 0)
        self.assertGreaterEqual(clock.age_ns(), clock.now() - clock.IMPORTED)


class Windows(unittest.TestCase):
    def test_threads_live_on_start_together_and_count_their_calls(self):
        threads = timing.WindowThreads(3)
        names, items, lock = [], [], threading.Lock()
        running = threading.Semaphore(0)

        def call(item):
            running.release()
            with lock:
                names.append(threading.current_thread().name)
                items.append(item)

        samples = [threads.time([call] * 3, [["a"], ["b", "c"], ["d"]], 3_000_000) for _ in range(2)]
        self.assertEqual(set(names), {"window-0", "window-1", "window-2"})
        self.assertEqual(set(items), {"a", "b", "c", "d"})
        self.assertEqual(sum(sample.calls for sample in samples), len(names))
        for sample in samples:
            self.assertEqual(len(sample.threads), 3)
            for thread in sample.threads:
                self.assertEqual(thread["end_ns"] - thread["start_ns"], 3_000_000)
                self.assertTrue(sample.start_ns <= thread["start_ns"] and thread["end_ns"] <= sample.end_ns)
                self.assertGreater(thread["calls"], 0)
            self.assertEqual(len({thread["start_ns"] for thread in sample.threads}), 1, "all over the same time")
            self.assertLessEqual(sum(thread["calls"] for thread in sample.threads), sample.calls)

    def test_each_thread_makes_its_own_call(self):
        made = {"one": [], "two": []}
        calls = [lambda item, name=name: made[name].append((threading.current_thread().name, item)) for name in made]
        threads = timing.WindowThreads(2)
        threads.time(calls, [["a"], ["b"]], 1)
        self.assertEqual(set(made["one"]), {("window-0", "a")})
        self.assertEqual(set(made["two"]), {("window-1", "b")})
        threads.warm(calls, lambda: "w", 1)
        self.assertIn(("window-1", "w"), made["two"])
        self.assertNotIn(("window-0", "w"), made["two"])

    def test_two_threads_that_take_turns_do_what_one_does(self):
        # Calls of 1 ms in slices of 5, as the GIL deals them out: one works while the other waits within a call.
        first = [slice_ + call for slice_ in range(0, 60, 10) for call in range(1, 6)]
        second = [slice_ + call for slice_ in range(5, 60, 10) for call in range(1, 6)]
        for length in (40, 43, 47):
            calls = sum(timing.between(5, 5 + length, began, ends) for began, ends in ((0, first), (5, second)))
            self.assertAlmostEqual(calls / length, 1.0, delta=0.03)

    def test_threads_are_warmed_up_one_after_the_other_and_all_alike(self):
        threads = timing.WindowThreads(3)
        names = []

        def call(item):
            time.sleep(0.0005)
            names.append(threading.current_thread().name)

        spent = threads.warm([call] * 3, lambda: 1, 2_000_000)
        self.assertGreaterEqual(spent, 6_000_000)
        turns = [(name, len(list(calls))) for name, calls in groupby(names)]
        self.assertEqual(sorted(name for name, _ in turns), ["window-0", "window-1", "window-2"], "one turn each")
        self.assertTrue(all(1 <= calls <= 4 for _, calls in turns), turns)

    def test_every_thread_of_a_batchs_pool_is_warmed_up(self):
        names = []

        def tokenize(text):
            names.append(threading.current_thread().name)

        self.assertGreater(batch.warm(3, str, tokenize, lambda: "chat", 1), 0)
        self.assertEqual(len(names), 3)
        self.assertEqual(len(set(names)), 3)

    def test_a_call_that_is_longer_than_the_window_counts_in_part(self):
        event = threading.Event()
        sample = timing.WindowThreads(2).time([lambda _: event.wait(0.01)] * 2, [[0], [0]], 1_000_000)
        for thread in sample.threads:
            self.assertTrue(0 < thread["calls"] < 0.2, thread)

    def test_what_a_call_raises_reaches_the_caller_and_the_threads_live_on(self):
        threads = timing.WindowThreads(2)

        def call(item):
            if item == "bad":
                raise ValueError("from a thread")

        with self.assertRaisesRegex(ValueError, "from a thread"):
            threads.time([call] * 2, [["good"], ["bad"]], 1)
        self.assertGreaterEqual(threads.time([call] * 2, [["good"], ["good"]], 1).calls, 2)


class Blocks(WorkerTest):
    @needs("pydantic")
    def test_loop_each_window_and_first(self):
        subject = self.start([PAIR])
        cell = op(PAIR, "parse")
        self.assertEqual(subject.prepare("loop", cell, self.inputs, warm_ns=100_000)[-1]["type"], "done")
        sample, done = subject.block("loop", loops=20, offset=5, block=4)
        self.assertEqual((sample["calls"], sample["block"], sample["cell_id"]), (20, 4, "loop"))
        self.assertGreater(sample["end_ns"], sample["start_ns"])
        self.assertEqual(done["warm_ns"], 0)
        self.assertGreaterEqual(subject.block("loop", settle_ns=50_000)[-1]["warm_ns"], 50_000)

        subject.prepare("each", cell, self.inputs, timing="each")
        *samples, _ = subject.block("each", loops=5)
        self.assertEqual([sample["calls"] for sample in samples], [1] * 5)

        window = op(PAIR, "parse", threads=2)
        subject.prepare("window", window, self.inputs, timing={"kind": "window", "window_ns": 2_000_000}, check=2)
        for _ in range(2):
            sample, done = subject.block("window", settle_ns=1)
            self.assertEqual(len(sample["threads"]), 2)
            self.assertGreaterEqual(sample["calls"], sum(thread["calls"] for thread in sample["threads"]))
            self.assertGreater(done["warm_ns"], 0)

        truth = self.hashes(subject, cell)
        subject.prepare("first", cell, self.inputs, timing="first")
        sample, check, done = subject.block("first", offset=6, settle_ns=0)
        self.assertEqual((sample["type"], sample["calls"]), ("sample", 1))
        self.assertEqual((check["type"], check["hashes"]), ("check", [truth[6]]))
        self.assertEqual(done, {"type": "done", "cell_id": "first", "warm_ns": 0})

    @needs("pydantic")
    def test_bad_numbers_are_errors(self):
        subject = self.start([PAIR])
        subject.prepare("c", op(PAIR, "parse"), self.inputs)
        self.assertIn("at least one loop", subject.block("c", loops=0)[-1]["message"])
        window = {"kind": "window", "window_ns": 1}
        answer = subject.prepare("w", op(PAIR, "parse", threads=0), self.inputs, timing=window)[-1]
        self.assertIn("threads", answer["message"])
        subject.prepare("o", op(PAIR, "parse"), self.inputs, timing="sometimes")
        self.assertIn("sometimes", subject.block("o")[-1]["message"])


class Order(WorkerTest):
    def test_following_stays_within_the_pool_and_within_the_warm_up_requests(self):
        from pathlib import Path

        from llmbench_worker.inputs import Inputs

        inputs = Inputs(Path(self.inputs["requests"]), Path(self.inputs["texts"]), 8, 3, lambda: None)
        self.assertEqual(inputs.following(6, 4), [6, 7, 0, 1])
        self.assertEqual(inputs.following(9, 4), [9, 10, 8, 9])
