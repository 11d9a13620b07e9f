"""Packages that only some rows need, each in a folder of its own beside the environment."""

import json
import os
import sys

from .errors import UnavailableError

VARIABLE = "LLMBENCH_OPTIONAL"
"""JSON of the parent: package to `{"path": folder}`, or to `{"reason": why it is not there}`."""


def find(package: str) -> None:
    """Makes a package importable, if the parent has installed it. What the environment has comes first.

    Raises:
        UnavailableError: it could not be installed.
    """
    place = json.loads(os.environ.get(VARIABLE) or "{}").get(package)
    if place is None:
        return
    if "reason" in place:
        raise UnavailableError(f"the Python package {package} could not be installed: {place['reason']}")
    if place["path"] not in sys.path:
        sys.path.append(place["path"])
