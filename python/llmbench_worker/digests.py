"""Outputs as bytes, so that two engines (and two languages) can be compared by a hash."""

import hashlib
import sys
from array import array


def sha256(data: bytes) -> str:
    """Lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def messages_bytes(messages: list[dict]) -> bytes:
    """Of every message its role, 0x00, its text, 0x00.

    The text of content in parts is that of its parts one after another; null and absent content are empty.
    """
    pieces = []
    for message in messages:
        content = message.get("content")
        if content is None:
            content = ""
        elif not isinstance(content, str):
            content = "".join(part.get("text") or "" for part in content)
        pieces.append(f"{message['role']}\0{content}\0")
    return "".join(pieces).encode()


def ids_bytes(ids: list[int]) -> bytes:
    """Each id as a little-endian u32."""
    return _little_endian(array("I", ids))


def batch_bytes(ids, mask) -> bytes:
    """Both arrays as little-endian int64, row by row: all ids, then the whole mask."""
    return b"".join(_little_endian(array("q", _flat(rows))) for rows in (ids, mask))


def batch_ids(ids) -> list[int]:
    """The ids of a padded batch, row by row."""
    return _flat(ids)


def _flat(rows) -> list[int]:
    # numpy and torch both have `tolist`, and neither need be imported here.
    return [value for row in rows.tolist() for value in row]


def _little_endian(values: array) -> bytes:
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()
