"""The C helper of the probes, `gil.c`: compiled at its first use with the system's compiler, loaded with ctypes.

It is no extension module, so that one file serves every version and build of the interpreter.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from ..errors import UnavailableError, one_line

SOURCE = Path(__file__).with_name("gil.c")
FLAGS = ("-O2", "-shared", "-fPIC")
LIBRARIES = ("-lm", "-lpthread")
COMPILERS = ("cc", "gcc", "clang")
MACHINES = ("x86_64", "amd64", "aarch64", "arm64")
PATIENCE_S = 120
HOOKED = (
    "PyEval_SaveThread",
    "PyEval_RestoreThread",
    "PyGILState_Ensure",
    "PyGILState_Release",
    "PyEval_AcquireThread",
    "PyEval_ReleaseThread",
)
"""The interpreter's functions in the order of `gil_init`."""


class Stretch(ctypes.Structure):
    """`struct stretch` of gil.c: what the calling thread did between `gil_begin` and `gil_end`."""

    _fields_ = [
        (name, ctypes.c_uint64)
        for name in ("start_ns", "end_ns", "runqueue_ns", "released_ns", "own_ns", "releases", "foreign_ns")
    ]


class Samples(ctypes.Structure):
    """`struct samples` of gil.c: what the contended probe saw."""

    _fields_ = [
        (name, ctypes.c_uint64) for name in ("held", "free", "probes", "naps", "wait_ns", "runqueue_ns", "cpu_ns")
    ]


class Helper:
    """The loaded helper: `held` calls it without releasing the GIL, `released` releases it around the call."""

    def __init__(self, path: Path) -> None:
        self.held = ctypes.PyDLL(str(path))
        self.released = ctypes.CDLL(str(path))
        for library in (self.held, self.released):
            library.gil_begin.restype = None
            library.gil_end.argtypes, library.gil_end.restype = [ctypes.POINTER(Stretch)], None
            library.gil_hook.restype = library.gil_unhook.restype = ctypes.c_long
            library.gil_sampling.restype = ctypes.c_int
            library.gil_stop.restype = None
            library.gil_sample.argtypes = [ctypes.c_uint64, ctypes.c_uint64, ctypes.POINTER(Samples)]
            library.gil_sample.restype = None
            for name in ("gil_spin", "gil_sleep"):
                getattr(library, name).argtypes, getattr(library, name).restype = [ctypes.c_uint64], None
        addresses = (ctypes.c_void_p * len(HOOKED))(
            *(ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value for name in HOOKED)
        )
        self.held.gil_init(addresses)


@cache
def helper() -> Helper:
    """The helper, compiled if that was not done before.

    Raises:
        UnavailableError: this is not CPython on Linux, x86-64 or aarch64; there is no C compiler; it did not compile.
    """
    if sys.platform != "linux" or platform.machine().lower() not in MACHINES or sys.maxsize < 2**32:
        raise UnavailableError(
            f"the GIL probes do not know {platform.system()} on {platform.machine()}; use Linux on x86-64 or aarch64"
        )
    if sys.implementation.name != "cpython":
        raise UnavailableError(f"the GIL probes do not know {sys.implementation.name}; use CPython")
    try:
        source = SOURCE.read_bytes()
    except OSError as error:
        raise UnavailableError(
            f"the source of the GIL probes is not there ({error}); install llmbench again"
        ) from error
    return Helper(_library(source))


def _library(source: bytes) -> Path:
    """The compiled file of this source: the one that is there, or a new one."""
    key = hashlib.sha256(source + repr((FLAGS, platform.machine(), platform.libc_ver())).encode()).hexdigest()[:16]
    name = f"gil-{key}.so"
    folders = list(_folders())
    for folder in folders:
        if _is_own(folder / name):
            return folder / name
    compiler = next((path for path in map(shutil.which, _compilers()) if path), None)
    if compiler is None:
        raise UnavailableError(
            "the GIL probes need a C compiler, and there is none by the names cc, gcc or clang; install one (Debian,"
            " Ubuntu: apt-get install gcc libc6-dev) or name it in CC"
        )
    reasons = []
    for folder in folders:
        try:
            return _compile(compiler, source, folder, name)
        except OSError as error:
            reasons.append(f"{folder}: {error.strerror or error}")
    raise UnavailableError(
        f"no folder takes the compiled GIL probes ({'; '.join(reasons)}); set TMPDIR to one that does"
    )


def _compile(compiler: str, source: bytes, folder: Path, name: str) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Under a name of its own, then renamed: several workers may come here at the same time.
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made = Path(scratch, name)
        Path(scratch, SOURCE.name).write_bytes(source)
        command = [compiler, *FLAGS, "-o", str(made), str(Path(scratch, SOURCE.name)), *LIBRARIES]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise UnavailableError(f"{compiler} took more than {PATIENCE_S} s on the GIL probes; try again") from error
        if done.returncode:
            raise UnavailableError(
                f"{compiler} did not compile the GIL probes ({one_line(done.stderr)[:300]}); install the C library's"
                " headers, or name another compiler in CC"
            )
        os.replace(made, folder / name)
    return folder / name


def _compilers() -> list[str]:
    named = os.environ.get("CC", "").split()
    return [*named[:1], *COMPILERS]


def _folders() -> list[Path]:
    """Where the compiled file may be: llmbench's cache, else a folder of this user's among the temporary files."""
    named = os.environ.get("LLMBENCH_CACHE")
    cache_home = os.environ.get("XDG_CACHE_HOME")
    folders = []
    if named:
        folders.append(Path(named))
    elif cache_home:
        folders.append(Path(cache_home, "llmbench"))
    elif os.environ.get("HOME"):
        folders.append(Path(os.environ["HOME"], ".cache", "llmbench"))
    folders.append(Path(tempfile.gettempdir(), f"llmbench-{os.getuid()}"))
    return [folder / "probes" for folder in folders]


def _is_own(path: Path) -> bool:
    """Whether a file is there that nobody but this user can have written."""
    try:
        status = path.stat()
    except OSError:
        return False
    return status.st_uid == os.getuid() and not status.st_mode & 0o022
