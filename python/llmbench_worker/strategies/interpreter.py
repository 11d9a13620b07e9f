"""What runs in a subinterpreter: rendering, for the main interpreter at the other end of a pair of sockets.

Imports as little as it can, since everything is imported again in each subinterpreter.
"""

import os
import pickle
import socket
from struct import Struct

from ..errors import describe
from ..model import Model

LENGTH = Struct("<QB")
"""Length of what follows, and whether it is a message about a failure."""


def render_at(fd: int, paths: dict, timestamp: int) -> None:
    """Renders what comes until the other end is closed."""
    from ..engines.jinja2_template import load  # the main interpreter imports this module too, without jinja2

    render = load(Model(paths, timestamp), "render").call
    end = socket.socket(fileno=os.dup(fd))  # the descriptor itself belongs to the main interpreter's object
    while True:
        try:
            data, _ = receive(end)
        except EOFError:
            return
        try:
            answer, failed = render(pickle.loads(data)).encode(), False
        except Exception as error:
            answer, failed = describe(error).encode(), True
        send(end, answer, failed)


def send(end: socket.socket, data: bytes, failed: bool) -> None:
    """Sends one message."""
    end.sendall(LENGTH.pack(len(data), failed) + data)


def receive(end: socket.socket) -> tuple[bytes, bool]:
    """The next message, and whether it is about a failure. Raises: EOFError: the other end is closed."""
    length, failed = LENGTH.unpack(_exactly(end, LENGTH.size))
    return _exactly(end, length), bool(failed)


def _exactly(end: socket.socket, length: int) -> bytes:
    data = bytearray(length)
    view = memoryview(data)
    while view:
        count = end.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]
    return bytes(data)
