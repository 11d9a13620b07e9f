"""What this interpreter is, as far as it matters to a comparison."""

import gc
import platform
import sys
import sysconfig
import time
from importlib import metadata

IMPLEMENTATIONS = {"cpython": "CPython", "pypy": "PyPy", "graalpy": "GraalPy"}


def interpreter() -> str:
    """`CPython 3.12.1`."""
    name = sys.implementation.name
    return f"{IMPLEMENTATIONS.get(name, name)} {platform.python_version()}"


def gil() -> str:
    """`enabled` or `disabled`, as it is now: an import can switch it on again."""
    is_enabled = getattr(sys, "_is_gil_enabled", None)
    return "enabled" if is_enabled is None or is_enabled() else "disabled"


def build() -> dict[str, str]:
    """How the interpreter was built and set. Unknown is a value; no path of the build machine is among them."""
    arguments = sysconfig.get_config_var("CONFIG_ARGS")
    flags = sysconfig.get_config_var("OPT")
    more = sysconfig.get_config_var("CFLAGS")
    return {
        "clock": time.get_clock_info("perf_counter").implementation,
        "compiler": platform.python_compiler() or "unknown",
        "debug": _yes(sysconfig.get_config_var("Py_DEBUG")),
        "free_threaded": _yes(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "gc_threshold": " ".join(map(str, gc.get_threshold())),
        "jit": _jit(),
        "lto": _option(arguments, "--with-lto"),
        "optimization": _optimization(f"{flags or ''} {more or ''}"),
        "pgo": _option(arguments, "--enable-optimizations"),
        "switch_interval_us": str(round(sys.getswitchinterval() * 1e6)),
        "tail_calls": _option(arguments, "--with-tail-call-interp"),
    }


def versions(packages: list[str]) -> dict[str, str]:
    """Package to version, of those that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _yes(value: object) -> str:
    return "yes" if value else "no"


def _option(arguments: str | None, option: str) -> str:
    if arguments is None:
        return "unknown"
    given = next((word for word in arguments.replace("'", " ").split() if word.partition("=")[0] == option), None)
    if given is None:
        return "no"
    return given.partition("=")[2] or "yes"


def _optimization(flags: str) -> str:
    levels = [word for word in flags.split() if word.startswith("-O")]
    return levels[-1] if levels else "unknown"


def _jit() -> str:
    jit = getattr(sys, "_jit", None)
    return "no" if jit is None else _yes(jit.is_enabled())
