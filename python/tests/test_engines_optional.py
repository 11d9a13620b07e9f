"""Engines that the environment need not have: alike where they are, and where not, with a remedy."""

import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
from importlib.util import find_spec
from pathlib import Path

from llmbench_worker.engines import TABLE

from .support import ROOT, WorkerTest, needs, op, write_inputs, write_model

OPTIONAL = {pair: entry for pair, entry in TABLE.items() if entry.version}
TOKENIZERS = [pair for pair, entry in OPTIONAL.items() if entry.stage == "tokenize"]
TEXTS = [
    "",
    "hello the world",
    "<|im_start|>user\nhello<|im_end|>\n<|im_end|><|im_end|>x<|bos|>y <|im_st",
    "ünïcödé 漢字かな हिन्दी العربية e\u0301 🙂👩\u200d👩\u200d👧🇩🇪",
    "   \t\t \n\r\n \u00a0\u3000  x  ",
    "def f(a):\n\treturn {a: 0x1F}  # it's 12345\n" * 40,
    "\U000e0100\ufffd\u0000\u200b\U0010ffff",
    "a" * 3000,
]


def have(pair: str) -> bool:
    return all(find_spec(package) is not None for package in OPTIONAL[pair].packages)


class OptionalEngines(WorkerTest):
    @needs("tokenizers")
    def test_each_that_is_here_gives_the_ids_of_the_reference(self):
        inputs = write_inputs(self.folder / "model", [{"messages": []}] * (len(TEXTS) + 1), 1)
        with open(inputs["texts"], "w") as file:
            file.writelines(json.dumps(text) + "\n" for text in [*TEXTS, "warm"])
        reference = "hf-tokenizers/encode"
        subject = self.start([reference, *TOKENIZERS], env={"FASTOKENS_BPE_THREADS": "1"})
        expected = self.hashes(subject, op(reference, "tokenize"), inputs)
        for pair in TOKENIZERS:
            with self.subTest(pair):
                if not have(pair):
                    self.skipTest(f"NOT TESTED HERE: {pair} is not installed in {sys.executable}")
                self.assertEqual(self.hashes(subject, op(pair, "tokenize"), inputs), expected)

    @needs("minijinja", "jinja2")
    def test_minijinja_renders_what_jinja2_renders(self):
        # The tiny template but for its generation block, which minijinja does not know.
        template = (self.folder / "model" / "chat_template.jinja").read_text()
        template = re.sub(r"{%-? (end)?generation %}", "", template)
        model = write_model(self.folder / "plain", template)
        subject = self.start(["jinja2/render", "minijinja/render"], model=model)
        hashes = [self.hashes(subject, op(pair, "template")) for pair in ("jinja2/render", "minijinja/render")]
        self.assertEqual(hashes[0], hashes[1])

    @needs("minijinja")
    def test_a_template_that_minijinja_does_not_compile_makes_it_unavailable(self):
        subject = self.start(["minijinja/render"])
        self.assertIn("does not compile", subject.ready["unavailable"]["minijinja/render"])

    def test_one_that_is_not_here_names_the_remedy_and_leaves_the_others(self):
        described = json.loads(
            subprocess.run(
                [sys.executable, "-S", "-m", "llmbench_worker", "--describe"],
                cwd=ROOT,
                capture_output=True,
                check=True,
            ).stdout
        )
        for pair, entry in OPTIONAL.items():
            self.assertIn(f"python -m pip install {entry.requirement}", described["unavailable"][pair])
        self.assertIn("pickle/dumps", described["available"])


class Places(unittest.TestCase):
    """Where the parent has put packages that the environment does not hold."""

    def described(self, places: dict) -> str:
        code = """
from llmbench_worker import optional
try:
    optional.find("kitoken")
    import kitoken
except Exception as error:
    print(type(error).__name__, error)
else:
    print(kitoken.__file__)
"""
        return subprocess.run(
            [sys.executable, "-S", "-c", code],
            cwd=ROOT,
            env={**os.environ, "LLMBENCH_OPTIONAL": json.dumps(places)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout.strip()

    def test_a_package_is_found_where_the_parent_says(self):
        with tempfile.TemporaryDirectory() as folder:
            module = Path(folder) / "kitoken.py"
            module.write_text("")
            self.assertEqual(self.described({"kitoken": {"path": folder}}), str(module))
            self.assertIn("No module named", self.described({"tokie": {"path": folder}}))

    def test_one_that_could_not_be_installed_says_why(self):
        said = self.described({"kitoken": {"reason": "there is no wheel of it"}})
        self.assertEqual(
            said, "UnavailableError the Python package kitoken could not be installed: there is no wheel of it"
        )


class Locks(unittest.TestCase):
    def test_each_has_a_lock_of_its_own_with_the_version_that_is_named(self):
        for name, version in {entry.packages[0]: entry.version for entry in OPTIONAL.values()}.items():
            with self.subTest(name):
                self.assertEqual((ROOT / "optional" / f"{name}.in").read_text().strip(), f"{name}=={version}")
                lock = (ROOT / "optional" / f"{name}.lock").read_text()
                self.assertRegex(lock, rf"(?m)^{name}=={re.escape(version)} \\$")
                self.assertNotIn("://", lock)

    def test_what_they_share_with_the_lock_has_its_versions(self):
        main = set(re.findall(r"(?m)^[a-z0-9-]+==\S+", (ROOT / "requirements.lock").read_text()))
        names = {pin.partition("==")[0] for pin in main}
        for lock in sorted((ROOT / "optional").glob("*.lock")):
            for pin in re.findall(r"(?m)^[a-z0-9-]+==\S+", lock.read_text()):
                if pin.partition("==")[0] in names:
                    with self.subTest(lock=lock.name):
                        self.assertIn(pin, main)
