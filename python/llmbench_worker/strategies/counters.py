"""What has come and gone since the last reset."""

import asyncio


class Counters:
    """Belongs to an event loop. `received` = `answered` + `failed` + those of `in_flight` that came after the reset."""

    def __init__(self) -> None:
        self.received = self.answered = self.failed = self.in_flight = 0
        self.draining = False
        self._idle: list[asyncio.Future] = []

    def arrive(self) -> bool:
        """A request is there. False: it is refused, since the server drains; it then counts as failed."""
        self.received += 1
        if self.draining:
            self.failed += 1
            return False
        self.in_flight += 1
        return True

    def leave(self, ok: bool) -> None:
        """A request that was let in has its answer."""
        self.in_flight -= 1
        if ok:
            self.answered += 1
        else:
            self.failed += 1
        if not self.in_flight and self._idle:
            for waiting in self._idle:
                if not waiting.done():
                    waiting.set_result(None)
            self._idle = []

    async def drain(self) -> None:
        """Refuses what comes from now on, and returns when nothing is in flight."""
        self.draining = True
        if self.in_flight:
            waiting = asyncio.get_running_loop().create_future()
            self._idle.append(waiting)
            await waiting

    def reset(self) -> None:
        """From zero, and open again if it was drained."""
        self.received = self.answered = self.failed = 0
        self.draining = False

    def as_dict(self) -> dict[str, int]:
        names = ("received", "answered", "failed", "in_flight")
        return {name: getattr(self, name) for name in names}


DRAINING = "draining: this server takes no more requests"
