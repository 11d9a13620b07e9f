"""`python -m llmbench_worker.interpreter`: what this interpreter is, as one JSON object, for `llmbench python`.

The standard library is enough, and no engine is imported in this process: each is in one of its own, so that it is
known which of them switched the GIL on. Interpreters too old for the worker answer too, with less.

Where there is a GIL from the start no import can change that, and none is made unless `--import` asks for it.
"""

import json
import os
import platform
import re
import subprocess
import sys

with open(
    os.path.join(os.path.dirname(os.path.abspath(__file__)), "engines", "engines.json"), encoding="utf-8"
) as _table:
    _FIRST = [entry["packages"][0] for entry in json.load(_table) if entry["packages"]]

PACKAGES = tuple(package for package in dict.fromkeys(_FIRST) if package != "torch")
"""Packages of engines, by the name that both pip and `import` know. No environment that llmbench makes holds torch, and
to import it takes seconds."""

OLDEST = (3, 10)
"""The oldest version that the worker runs on."""

PATIENCE_S = 120
"""How long one import may take."""

SWITCHED_ON = re.compile(r"GIL\) has been enabled to load module '([^']+)'")
"""The warning of a free-threaded interpreter that imports an extension which does not declare itself safe without."""

IMPORT = """\
import sys
sys.path.insert(0, sys.argv[1])
if sys.argv[2] == "transformers":
    from llmbench_worker.engines.hf_transformers import tokenizer_class
    tokenizer_class()
else:
    __import__(sys.argv[2])
is_enabled = getattr(sys, "_is_gil_enabled", None)
print(is_enabled is None or is_enabled())
"""
"""Run by `-c`; transformers is imported as the worker does."""


def facts_of_this(importing):
    """The object; `importing` also tries the imports where the GIL is on already."""
    supported = sys.version_info >= OLDEST
    on = gil_is_on()
    found = {
        "executable": sys.executable,
        "implementation": platform.python_implementation(),
        "version": platform.python_version(),
        "supported": supported,
        "free_threaded_build": free_threaded(),
        "gil_enabled": on,
        "gil_setting": gil_setting(),
        "switch_interval_us": round(sys.getswitchinterval() * 1e6),
        "build": {},
        "packages": {},
        "gil_enabled_after_imports": None,
        "gil_switched_on_by": [],
    }
    if not supported:
        return found
    from . import facts

    found["build"] = facts.build()
    packages = found["packages"] = {name: package(name, importing or not on) for name in PACKAGES}
    tried = [entry["gil_enabled"] for entry in packages.values() if entry["gil_enabled"] is not None]
    found["gil_enabled_after_imports"] = on or any(tried)
    if not on:
        found["gil_switched_on_by"] = [name for name, entry in packages.items() if entry["gil_enabled"]]
    return found


def gil_is_on():
    is_enabled = getattr(sys, "_is_gil_enabled", None)
    return is_enabled is None or is_enabled()


def free_threaded():
    """Whether the build can run without the GIL, whatever it does now."""
    import sysconfig

    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def gil_setting():
    """What the command line or PYTHON_GIL asked for: `on`, `off`, or `default`."""
    asked = getattr(sys, "_xoptions", {}).get("gil", os.environ.get("PYTHON_GIL"))
    return {"0": "off", "1": "on"}.get(asked, "default")


def package(name, importing):
    """One package: its version, and, if `importing`, whether it imports and how the GIL is then.

    `imports` and `gil_enabled` are null where that was not tried or is not known.
    """
    from importlib import metadata

    entry = {"version": None, "imports": None, "error": None, "gil_enabled": None, "switched_on_by_module": None}
    try:
        entry["version"] = metadata.version(name)
    except metadata.PackageNotFoundError:
        return entry
    if not importing:
        return entry
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    options = [f"-Xgil={sys._xoptions['gil']}"] if "gil" in sys._xoptions else []
    command = [sys.executable, *options, "-W", "always", "-c", IMPORT, folder, name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        entry["error"] = f"{type(error).__name__}: {error}"
        return entry
    entry["imports"] = done.returncode == 0
    if entry["imports"]:
        entry["gil_enabled"] = done.stdout.split()[-1:] == ["True"]
    else:
        lines = done.stderr.split("\n")
        entry["error"] = next((line.strip() for line in reversed(lines) if line.strip()), f"status {done.returncode}")
    switched = SWITCHED_ON.search(done.stderr)
    if switched:
        entry["switched_on_by_module"] = switched.group(1)
    return entry


def main(arguments):
    if arguments not in ([], ["--import"]):
        print("usage: python -m llmbench_worker.interpreter [--import]", file=sys.stderr)
        return 2
    print(json.dumps(facts_of_this(bool(arguments)), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
