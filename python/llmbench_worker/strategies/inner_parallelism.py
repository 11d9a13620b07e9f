"""The tokenizer's own threads, on or off, under one thread that calls it or several.

A tokenizer spreads one call over its threads only if the call has several texts. So this is the micro-batch queue
without waiting, with `threads` batches at once. On: as many inner threads as rayon finds cores, whatever the harness
set before. With several callers they compete: oversubscription is the row's question.
"""

import os

from .micro_batch import Strategy as MicroBatch
from .start import Start


def set_environment(start: Start) -> None:
    """What the tokenizer's library looks up when it is first used; must come before its import."""
    if start.choice("parallelism", "on", "off") == "on":
        os.environ["TOKENIZERS_PARALLELISM"] = "true"
        os.environ.pop("RAYON_NUM_THREADS", None)
    else:
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        os.environ["RAYON_NUM_THREADS"] = "1"


class Strategy(MicroBatch):
    async def start(self) -> None:
        set_environment(self.given)
        self.batches_at_once = self.given.count("threads", self.given.workers)
        await super().start()
