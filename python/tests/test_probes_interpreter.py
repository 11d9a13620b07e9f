"""What `python -m llmbench_worker.interpreter` says, and that it finds the import that switches the GIL on."""

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import unittest
from pathlib import Path
from shutil import which

from llmbench_worker import facts, interpreter

from .support import ROOT

EXTENSION = """\
#include <Python.h>
static PyModuleDef module = {PyModuleDef_HEAD_INIT, "tiktoken", NULL, -1, NULL};
PyMODINIT_FUNC PyInit_tiktoken(void) { return PyModule_Create(&module); }
"""
"""An extension that says nothing about the GIL."""

HEADER = Path(sysconfig.get_paths()["include"], "Python.h")


def ask(*arguments: str, path: Path | None = None, **env: str) -> dict:
    folders = os.pathsep.join(str(part) for part in (path, ROOT) if part)
    done = subprocess.run(
        [sys.executable, "-m", "llmbench_worker.interpreter", *arguments],
        env={**os.environ, "PYTHONPATH": folders, **env},
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    return json.loads(done.stdout)


def write_package(folder: Path, name: str, source: str | None) -> None:
    """A package that is installed in that folder, version 1.5; `source` is its module."""
    info = folder / f"{name}-1.5.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
    if source is not None:
        (folder / f"{name}.py").write_text(source)


class Interpreter(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_says_what_this_interpreter_is(self):
        found = ask()
        self.assertEqual(found["version"], sys.version.split()[0].rstrip("+"))
        self.assertEqual(found["gil_enabled"], facts.gil() == "enabled")
        self.assertTrue(found["supported"])
        self.assertEqual(found["switch_interval_us"], 5000)
        self.assertIn("pgo", found["build"])
        self.assertEqual(set(found["packages"]), set(interpreter.PACKAGES))

    def test_imports_are_tried_in_processes_of_their_own(self):
        write_package(self.folder, "tokie", "import sys; sys.stderr.write('noise'); print('noise')")
        write_package(self.folder, "kitoken", "raise RuntimeError('broken build')")
        packages = ask("--import", path=self.folder)["packages"]
        self.assertEqual((packages["tokie"]["version"], packages["tokie"]["imports"]), ("1.5", True))
        self.assertEqual(packages["tokie"]["gil_enabled"], facts.gil() == "enabled")
        self.assertFalse(packages["kitoken"]["imports"])
        self.assertIn("broken build", packages["kitoken"]["error"])
        self.assertIsNone(packages["kitoken"]["gil_enabled"])

    @unittest.skipUnless(facts.gil() == "enabled", "NOT TESTED HERE: this interpreter runs without a GIL")
    def test_nothing_is_imported_where_no_import_can_matter(self):
        write_package(self.folder, "tokie", "raise RuntimeError('must not run')")
        found = ask(path=self.folder)
        self.assertEqual(found["packages"]["tokie"]["version"], "1.5")
        self.assertIsNone(found["packages"]["tokie"]["imports"])
        self.assertEqual((found["gil_enabled_after_imports"], found["gil_switched_on_by"]), (True, []))

    @unittest.skipIf(facts.gil() == "enabled", "NOT TESTED HERE: this interpreter has a GIL from the start")
    @unittest.skipUnless(which("cc") and HEADER.exists(), "NOT TESTED HERE: no C compiler, or no Python.h")
    def test_the_import_that_switches_the_gil_on_is_named(self):
        write_package(self.folder, "tiktoken", None)
        write_package(self.folder, "tokie", "")
        (self.folder / "module.c").write_text(EXTENSION)
        made = self.folder / f"tiktoken{sysconfig.get_config_var('EXT_SUFFIX')}"
        build = ["cc", "-shared", "-fPIC", f"-I{HEADER.parent}", str(self.folder / "module.c"), "-o", str(made)]
        subprocess.run(build, check=True)
        found = ask(path=self.folder)
        self.assertEqual((found["gil_enabled"], found["gil_enabled_after_imports"]), (False, True))
        self.assertIn("tiktoken", found["gil_switched_on_by"])
        self.assertNotIn("tokie", found["gil_switched_on_by"])
        self.assertEqual(found["packages"]["tiktoken"]["switched_on_by_module"], "tiktoken")
        self.assertFalse(found["packages"]["tokie"]["gil_enabled"])
        forced = ask(path=self.folder, PYTHON_GIL="0")
        self.assertEqual((forced["gil_enabled_after_imports"], forced["gil_switched_on_by"]), (False, []))
