"""`python -m llmbench_worker.strategies.http_server`: the process that runs an HTTP server with our
application.

PARENT LOOP uvicorn FD: one worker, on a listening socket that the parent made and all workers share.
PARENT LOOP granian PORT N: granian's own main process with N workers.
"""

import os
import socket
import sys

from . import guard

APP = "llmbench_worker.strategies.http_app:app"
KEEP_ALIVE_S = 3600
"""A client's connection outlives every pause of a measurement."""


def uvicorn(fd: int, loop: str) -> None:
    from uvicorn import Config, Server

    listening = socket.socket(fileno=fd)
    config = Config(
        APP,
        loop=loop,
        lifespan="on",
        ws="none",
        log_level="error",
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    Server(config).run(sockets=[listening])


def granian(port: int, workers: int, loop: str) -> None:
    from granian import Granian
    from granian.constants import Interfaces, Loops
    from granian.log import LogLevels

    server = Granian(
        APP,
        address="127.0.0.1",
        port=port,
        interface=Interfaces.ASGI,
        workers=workers,
        loop=Loops(loop),
        websockets=False,
        log_level=LogLevels.error,
    )
    server.on_startup(guard.ignore_interrupts)  # by then it has put its own handler there
    server.serve()


def main(arguments: list[str]) -> None:
    guard.ignore_interrupts()
    parent, loop, name, *rest = arguments
    guard.die_with(int(parent))
    if name == "uvicorn":
        uvicorn(int(rest[0]), loop)
    else:
        granian(int(rest[0]), int(rest[1]), loop)


if __name__ == "__main__":
    main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(0)
