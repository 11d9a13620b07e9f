"""What this interpreter has, found without importing it: quick enough for `llmbench list` and `llmbench doctor`."""

import json
from importlib.util import find_spec

from . import PROTOCOL, __version__, facts
from .engines import TABLE
from .errors import missing


def as_json() -> str:
    """One JSON object: interpreter, GIL state (before any import), build facts, package versions, available pairs, and
    unavailable pairs with the reason."""
    packages = sorted({package for entry in TABLE.values() for package in entry.packages})
    unavailable = {}
    for pair, entry in TABLE.items():
        lacking = next((name for name in entry.packages if find_spec(name) is None), None)
        if lacking is not None:
            unavailable[pair] = str(missing(entry.requirement if lacking == entry.packages[0] else lacking))
    return json.dumps(
        {
            "worker": "python",
            "version": __version__,
            "protocol": PROTOCOL,
            "interpreter": facts.interpreter(),
            "gil": facts.gil(),
            "build": facts.build(),
            "versions": facts.versions(packages),
            "available": [pair for pair in TABLE if pair not in unavailable],
            "unavailable": unavailable,
        },
        indent=2,
    )
