"""The probes on calls of known truth, through the worker: what a sample says, on an idle machine and on a busy one."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import unittest
from contextlib import contextmanager
from pathlib import Path

from llmbench_worker import facts
from llmbench_worker.errors import UnavailableError
from llmbench_worker.probes import hold, native, truths, victim

from .support import WorkerTest, needs, op, texts_of, write_inputs

LOCKED = facts.gil() == "enabled"
TOLERANCE = 0.05
"""Of a share of the call's time: what the probes promise."""
MAX_BLOCKS = 40


def _helper_missing() -> str | None:
    try:
        native.helper()
    except UnavailableError as error:
        return str(error)
    return None


MISSING = _helper_missing()
needs_helper = unittest.skipIf(MISSING, f"NOT TESTED HERE: {MISSING}")
needs_gil = unittest.skipUnless(LOCKED, "NOT TESTED HERE: this interpreter runs without a GIL")


@contextmanager
def hogs(count: int):
    """Processes that keep as many CPUs busy."""
    processes = [subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


class ProbeTest(WorkerTest):
    def measure(self, subject, name: str, pair: str, points: int = 0, inputs: dict | None = None, **params) -> dict:
        """The stages of one block; for the contended probe, the sum of as many as it takes to have so many points."""
        cell = json.dumps([name, pair, params])
        probe = op(pair, name, **params)
        answers = subject.prepare(cell, probe, inputs or self.inputs, timing="each", check=0, warm_ns=1)
        self.assertEqual(answers[-1]["type"], "done", answers)
        total: dict = {}
        for block in range(MAX_BLOCKS):
            answers = subject.block(cell, loops=1, offset=block, settle_ns=1, block=block)
            self.assertEqual([answer["type"] for answer in answers], ["sample", "done"], answers)
            self.assertEqual(answers[0]["calls"], 1)
            for stage, value in answers[0]["stages"].items():
                self.assertIsInstance(value, int)
                self.assertGreaterEqual(value, 0, stage)
                total[stage] = total.get(stage, 0) + value
            if total.get("points_held", 0) + total.get("points_free", 0) >= points:
                return total
        self.skipTest(f"NOT TESTED HERE: {MAX_BLOCKS} blocks had fewer than {points} points; the machine is too busy")


@needs_helper
class Hold(ProbeTest):
    def check_truths(self, call_paths: list[str], points: int) -> None:
        subject = self.start([f"probe/{call_path}" for call_path in call_paths])
        self.assertEqual(subject.ready["unavailable"], {})
        for call_path in call_paths:
            stages = self.measure(subject, "hold", f"probe/{call_path}", points, window_ms=500)
            with self.subTest(call_path, stages=stages):
                truth = truths.share(call_path)
                # Beside the tolerance, four standard errors of a share of so few points.
                noise = 4 * (truth * (1 - truth) / points) ** 0.5
                contended = stages["held_contended_ns"] / stages["call_ns"]
                self.assertAlmostEqual(contended, truth, delta=TOLERANCE + noise)
                interposed = stages["held_interposed_ns"] / stages["call_interposed_ns"]
                self.assertAlmostEqual(interposed, truth, delta=TOLERANCE)

    @needs_gil
    def test_known_truths(self):
        self.check_truths(["held", "released", "sleep-held", "sleep-released"], points=200)

    @needs_gil
    def test_a_mix_of_held_and_released(self):
        self.check_truths(["mix-30", "mix-30-long"], points=1000)

    @needs_gil
    def test_known_truths_while_every_cpu_is_busy(self):
        with hogs(os.cpu_count() or 1):
            self.check_truths(["held", "released"], points=200)
            self.check_truths(["mix-30", "mix-30-long"], points=500)

    @needs_gil
    def test_a_call_that_releases_often_is_seen_by_its_own_calls(self):
        subject = self.start(["probe/mix-30-short"])
        stages = self.measure(subject, "hold", "probe/mix-30-short", window_ms=100)
        self.assertEqual(stages["releases"], stages["calls"])
        self.assertGreater(stages["slots"], 0)
        self.assertAlmostEqual(stages["held_interposed_ns"] / stages["call_interposed_ns"], 0.3, delta=2 * TOLERANCE)

    @unittest.skipIf(LOCKED, "NOT TESTED HERE: this interpreter has a GIL")
    def test_nothing_is_held_without_a_gil(self):
        subject = self.start(["probe/held"])
        stages = self.measure(subject, "hold", "probe/held", window_ms=300)
        self.assertLessEqual(stages["held_contended_ns"] / stages["call_ns"], TOLERANCE)
        self.assertNotIn("held_interposed_ns", stages)

    @needs_gil
    @needs("tokenizers")
    def test_encode_holds_and_encode_batch_releases(self):
        requests = [{"messages": [{"role": "user", "content": f"{n} hello the world " * 400}]} for n in range(6)]
        folder = self.folder / "long"
        folder.mkdir()
        inputs = write_inputs(folder, requests)
        subject = self.start(["hf-tokenizers/encode", "hf-tokenizers/encode_batch"])
        shares = {}
        for call_path in ("encode", "encode_batch"):
            stages = self.measure(subject, "hold", f"hf-tokenizers/{call_path}", inputs=inputs, window_ms=300)
            shares[call_path] = stages["held_interposed_ns"] / stages["call_interposed_ns"]
        self.assertGreater(shares["encode"], 0.9)
        self.assertLess(shares["encode_batch"], 0.7)

    @needs_gil
    @needs("tokenizers")
    def test_calls_that_only_probes_look_at(self):
        pairs = ["hf-tokenizers/decode", "hf-tokenizers/decode_batch", "json/json.loads"]
        subject = self.start(pairs)
        self.assertEqual(subject.ready["unavailable"], {})
        releases = {}
        for pair in pairs:
            stages = self.measure(subject, "hold", pair, window_ms=50)
            releases[pair] = stages["releases"] / stages["calls"]
        self.assertEqual(releases, dict(zip(pairs, (0, 1, 0), strict=True)))
        for pair in pairs[:2]:
            subject.prepare("d", op(pair, "hold", window_ms=1), self.inputs, timing="each")
            self.assertEqual(subject.dump("d", 0)["output"], {"text": texts_of(self.inputs)[0]})
        subject.prepare("j", op(pairs[2], "hold", window_ms=1), self.inputs, timing="each")
        line = Path(self.inputs["requests"]).read_text().splitlines()[0]
        self.assertEqual(json.loads(subject.dump("j", 0)["output"]["text"]), json.loads(line))

    def test_the_check_is_that_of_the_probed_call(self):
        subject = self.start(["pickle/dumps"])
        plain = subject.prepare("plain", op("pickle/dumps", "handoff"), self.inputs, check=1)
        if plain[-1]["type"] == "error":
            self.skipTest(f"NOT TESTED HERE: {plain[-1]['message']}")
        probed = subject.prepare("hold", op("pickle/dumps", "hold", window_ms=5), self.inputs, timing="each", check=1)
        self.assertEqual(probed[0]["hashes"], plain[0]["hashes"])

    @needs_gil
    def test_what_another_thread_holds_is_told_apart(self):
        library, over = native.helper(), threading.Event()

        def other() -> None:
            while not over.is_set():
                library.held.gil_spin(200_000)
                library.released.gil_spin(200_000)

        thread = threading.Thread(target=other)
        thread.start()
        try:
            found = hold.measure(truths.load(None, "released").call, [None], window_ns=100_000_000).stages
        finally:
            over.set()
            thread.join()
        self.assertGreater(found["foreign_held_ns"], 5_000_000)
        alone = hold.measure(truths.load(None, "released").call, [None], window_ns=100_000_000).stages
        self.assertLess(alone["foreign_held_ns"], 1_000_000)

    def test_hooks_are_taken_out_again(self):
        library = native.helper()
        slots = library.held.gil_hook()
        self.assertGreater(slots, 0)
        self.assertEqual(library.held.gil_hook(), 0)
        self.assertEqual(library.held.gil_unhook(), slots)
        self.assertEqual(library.held.gil_unhook(), 0)


class Unavailable(ProbeTest):
    def test_without_a_compiler_the_probe_says_so(self):
        empty = self.folder / "empty"
        empty.mkdir()
        subject = self.start(
            ["probe/held"], env={"PATH": str(empty), "LLMBENCH_CACHE": str(empty), "TMPDIR": str(empty)}
        )
        reason = subject.ready["unavailable"]["probe/held"]
        self.assertTrue("C compiler" in reason or "do not know" in reason, reason)

    def test_wrong_parameters_end_the_cell(self):
        subject = self.start([])
        for params in ({"where": "elsewhere"}, {"workers": 0}, {"beats": "many"}, {"operation": "dance"}):
            with self.subTest(params):
                answers = subject.prepare("x", op("pickle/dumps", "victim", **params), self.inputs, timing="each")
                self.assertEqual(answers[-1]["type"], "error", answers)


@needs_helper
class Victim(ProbeTest):
    def beats(self, subject, pair: str, **params) -> dict:
        return self.measure(subject, "victim", pair, beats=100, **params)

    def test_idle_workers_are_not_found(self):
        subject = self.start(["probe/hold-2ms"])
        for kind in victim.VICTIMS:
            for where in ("threads", "process"):
                with self.subTest(victim=kind, where=where):
                    alone = self.beats(subject, "probe/hold-2ms", victim=kind, where="alone")
                    idle = self.beats(subject, "probe/hold-2ms", victim=kind, where=where, idle=True, workers=2)
                    self.assertEqual((alone["work_calls"], idle["work_calls"]), (0, 0))
                    self.assertEqual((alone["beats"], idle["beats"]), (100, 100))
                    # A difference of half a planted hold would be a finding.
                    self.assertLess(idle["lag_net_p50_ns"] - alone["lag_net_p50_ns"], 1_000_000)
                    self.assertLess(idle["lag_net_mean_ns"] - alone["lag_net_mean_ns"], 1_000_000)

    @needs_gil
    def test_a_planted_hold_is_found_in_process_only(self):
        subject = self.start(["probe/hold-2ms", "probe/released"])
        for kind in victim.VICTIMS:
            with self.subTest(victim=kind):
                threads = self.beats(subject, "probe/hold-2ms", victim=kind, where="threads")
                child = self.beats(subject, "probe/hold-2ms", victim=kind, where="process")
                released = self.beats(subject, "probe/released", victim=kind, where="threads")
                for found in (threads, child, released):
                    self.assertGreater(found["work_calls"], 0)
                self.assertGreater(threads["lag_max_ns"], 2_000_000)
                self.assertGreater(threads["lag_p50_ns"], 1_000_000)
                self.assertGreater(threads["lag_net_p99_ns"], 2 * child["lag_net_p99_ns"])
                self.assertGreater(threads["lag_net_mean_ns"], 2 * released["lag_net_mean_ns"])

    @needs_gil
    def test_the_switch_interval_is_set_for_the_measurement(self):
        subject = self.start(["probe/held"])
        params = {"where": "threads", "switch_interval_us": 50_000}
        long = self.beats(subject, "probe/held", **params)
        usual = self.beats(subject, "probe/held", where="threads")
        self.assertEqual(long["switch_interval_ns"], 50_000_000)
        self.assertEqual(usual["switch_interval_ns"], round(sys.getswitchinterval() * 1e9))
        self.assertGreater(long["lag_max_ns"], 25_000_000)

    def test_the_other_process_ends_with_the_worker(self):
        subject = self.start(["probe/released"])
        self.beats(subject, "probe/released", where="process")
        children = Path(f"/proc/{subject.process.pid}/task/{subject.process.pid}/children").read_text().split()
        self.assertEqual(len(children), 1)
        subject.process.send_signal(signal.SIGKILL)
        subject.process.wait()
        deadline = time.monotonic() + 60
        while _alive(int(children[0])) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertFalse(_alive(int(children[0])))

    def test_an_engine_that_fails_beside_the_victim_ends_the_cell(self):
        subject = self.start([])
        pair = "tiktoken/encode"
        model = {**self.model, "tiktoken": None}
        subject = self.start([], model=model)
        answers = subject.prepare("x", op(pair, "victim", where="process"), self.inputs, timing="each")
        self.assertEqual((answers[-1]["type"], answers[-1]["kind"]), ("error", "unavailable"))


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Lateness(unittest.TestCase):
    MS = 1_000_000

    def net(self, due: list[float], seen: list[tuple[float, float]]) -> list[float]:
        scaled = [(round(at * self.MS), round(waited * self.MS)) for at, waited in seen]
        return [lag / self.MS for lag in victim.net([round(when * self.MS) for when in due], scaled, 0)]

    def test_waits_for_a_cpu_are_taken_off_every_beat_that_they_made_late(self):
        # One wait of 5 ms for a CPU makes three beats late; then 5 ms of waiting for something else.
        due = [2, 4, 6, 8, 10]
        seen = [(7, 5), (7, 5), (7, 5), (13, 5), (13, 5)]
        self.assertEqual(self.net(due, seen), [0, 0, 0, 5, 3])

    def test_both_kinds_of_waiting(self):
        self.assertEqual(self.net([2, 4], [(8, 2), (8, 2)]), [4, 2])

    def test_percentiles_are_nearest_ranks(self):
        values = list(range(1, 101))
        self.assertEqual([victim.percentile(values, percent) for percent in (50, 99)], [50, 99])
        self.assertEqual(victim.percentile([7], 99), 7)
        self.assertEqual(victim.percentile([1, 2, 3], 50), 2)
