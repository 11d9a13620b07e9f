"""The frames of the data socket. All numbers are little-endian.

request: u32 length of the payload, u64 id; the payload is a JSON body.
answer: u32 length of the payload, u64 id; the payload is u8 status, u64 received, u64 started, u64 finished, and then
the ids as u32 each (status 0) or a message in UTF-8 (status 1).
"""

from struct import Struct

HEADER = Struct("<IQ")
STAMPS = Struct("<BQQQ")
ANSWER_HEAD = Struct("<IQBQQQ")
MAX_PAYLOAD = 64 << 20
OK, ERROR = 0, 1


Stamps = tuple[int, int, int]
"""When the front end had the whole request, when its service began, and when its result was ready; ns."""


def payload(status: int, stamps: Stamps, body: bytes) -> bytes:
    """An answer without its header, as HTTP carries it."""
    return STAMPS.pack(status, *stamps) + body


def answer(index: int, status: int, stamps: Stamps, body: bytes) -> bytes:
    """An answer with its header."""
    head = ANSWER_HEAD.pack(STAMPS.size + len(body), index, status, *stamps)
    return head + body


class Splitter:
    """Cuts what arrives on a stream into frames."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Ids and payloads of the frames that are now complete.

        Raises:
            ValueError: a frame says that it is longer than is allowed.
        """
        rest = self._rest
        if rest:
            rest += data
            frames, used = _split(rest)
            if used:
                del rest[:used]
            return frames
        frames, used = _split(data)
        if used < len(data):
            rest += data[used:]
        return frames


def _split(data: bytes | bytearray) -> tuple[list[tuple[int, bytes]], int]:
    frames = []
    offset, end = 0, len(data)
    with memoryview(data) as view:
        while end - offset >= HEADER.size:
            length, index = HEADER.unpack_from(data, offset)
            if length > MAX_PAYLOAD:
                raise ValueError(f"a frame of {length} bytes is longer than the {MAX_PAYLOAD} that are allowed")
            stop = offset + HEADER.size + length
            if stop > end:
                break
            frames.append((index, bytes(view[offset + HEADER.size : stop])))
            offset = stop
    return frames, offset
