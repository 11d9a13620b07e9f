"""`python -m llmbench_worker`: answers the protocol; with `--describe`, prints what is here as JSON and ends.

Exit codes: 0 after `bye`, the end of the input or `fatal`; 1 for a bug, with its message as the last line of stderr;
2 for a wrong command line.
"""

import os
import signal
import sys
import traceback

from . import __version__
from .channel import ANSWER_FD_VAR, Channel
from .errors import one_line

USAGE = """\
This is llmbench's Python worker; llmbench starts it. By hand:
  python -m llmbench_worker --describe   what this interpreter has, as JSON, without a model
  python -m llmbench_worker --version"""


def main(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        print(f"llmbench_worker {__version__}")
        return 0
    if arguments == ["--describe"]:
        from .describe import as_json

        print(as_json())
        return 0
    if arguments or not os.environ.get(ANSWER_FD_VAR, "").isdigit():
        print(USAGE, file=sys.stderr)
        return 2
    # A Ctrl-C in the terminal is the parent's affair; if it reaches this process too, it ends it without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from .worker import Worker

        Worker(Channel.open()).serve()
        code = 0
    except Exception as error:
        sys.stdout.flush()
        traceback.print_exc()
        print(one_line(f"{type(error).__name__}: {error}"), file=sys.stderr)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    # Nothing is left to do, and tearing down a heap of this size takes as long as some runs' calls.
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
