"""The Python subject of llmbench: it answers the worker protocol and times operations inside the process.

The package itself needs the standard library only, so that it starts (and can say what is missing) in any interpreter
from 3.10 on. What it measures lies in `engines`, one file an engine, imported only when asked for.
"""

__version__ = "0.1.0"

PROTOCOL = 1
"""Version of the protocol; `hello` and `ready` carry it and must agree."""
