"""`transformers`: what servers call, on a tokenizer made of exactly the model's three files.

No class of the model's own is used: some of them build another vocabulary from the same files. The tokenizer is the
class that all fast tokenizers share; its special tokens and template are those of the files, and its backend is the one
of hf_tokenizers, so that its ids are those of tokenizer.json.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from functools import cache
from importlib import import_module, metadata
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..model import NAMED_TOKENS
from . import Loaded

if TYPE_CHECKING:
    from ..model import Model


@cache
def tokenizer_class() -> type:
    """The class of fast tokenizers, imported without the rest of transformers where that works.

    The package's own `__init__` lists every model's files, which takes longer than all that a tokenizer needs; the
    class is the same either way.
    """
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    with _without_torch():
        if "transformers" not in sys.modules:
            try:
                with _bare_package():
                    return import_module("transformers.tokenization_utils_tokenizers").TokenizersBackend
            except (ImportError, AttributeError):
                pass  # another version of transformers, which the whole import below may know
        return import_module("transformers").PreTrainedTokenizerFast


@contextmanager
def _without_torch() -> Iterator[None]:
    """Hides torch while transformers is imported: it would be imported for nothing, which takes seconds."""
    hide = "torch" not in sys.modules
    if hide:
        sys.modules["torch"] = None  # type: ignore[assignment] # how the import system spells "not there"
    try:
        yield
    finally:
        if hide:
            del sys.modules["torch"]


@contextmanager
def _bare_package() -> Iterator[None]:
    """Puts an empty package in the place of transformers; takes it away again if the import inside fails."""
    spec = find_spec("transformers")
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("No module named 'transformers'", name="transformers")
    package = ModuleType("transformers")
    package.__path__ = list(spec.submodule_search_locations)
    package.__file__ = spec.origin
    package.__spec__ = spec
    package.__version__ = metadata.version("transformers")  # type: ignore[attr-defined] # its parts import it
    sys.modules["transformers"] = package
    try:
        yield
    except BaseException:
        for name in [name for name in sys.modules if name.partition(".")[0] == "transformers"]:
            del sys.modules[name]
        raise


def fix_time(timestamp: int) -> None:
    """Makes `strftime_now` of transformers show `timestamp` (Unix seconds) in UTC.

    The function asks the `datetime` of its module for the time, so a class that knows only one time takes its place.
    """
    moment = datetime.fromtimestamp(timestamp, timezone.utc).replace(tzinfo=None)

    class FixedDatetime(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return moment if tz is None else moment.replace(tzinfo=timezone.utc).astimezone(tz)

    module = import_module("transformers.utils.chat_template_utils")
    if not hasattr(module, "datetime"):
        raise RuntimeError("this version of transformers takes the time of strftime_now from elsewhere")
    module.datetime = FixedDatetime


@cache
def tokenizer(model: "Model") -> Any:
    """A transformers tokenizer with an empty backend: enough for templates, and no need to read tokenizer.json."""
    made = tokenizer_class()
    from tokenizers import Tokenizer, models  # a dependency of transformers

    fix_time(model.timestamp)
    tokens = model.special_tokens
    template = model.template
    if model.tool_template is not None:
        # apply_chat_template chooses by whether the request has tools.
        template = {"default": template, "tool_use": model.tool_template}
    return made(
        tokenizer_object=Tokenizer(models.BPE()),
        chat_template=template,
        extra_special_tokens={name: text for name, text in tokens.items() if name not in NAMED_TOKENS},
        **{name: text for name, text in tokens.items() if name in NAMED_TOKENS},
    )


def normalizes() -> bool:
    """Whether this version drops null keys and renames reasoning (5.23 does, 5.20 does not)."""
    return hasattr(import_module("transformers.utils.chat_template_utils"), "_alias_reasoning_fields")


def load(model: "Model", call_path: str) -> Loaded:
    made = tokenizer(model)
    if call_path == "__call__":
        from .hf_tokenizers import tokenizer as backend

        # The special tokens went into the empty backend; this one has what tokenizer.json has and nothing else.
        made._tokenizer = backend(model)

        def call(text: str) -> list[int]:
            return made(text, add_special_tokens=False)["input_ids"]

        return Loaded(call)

    apply_chat_template = made.apply_chat_template

    def render(chat: tuple[list[dict], list[dict] | None]) -> str:
        messages, tools = chat
        return apply_chat_template(messages, tools=tools, tokenize=False, add_generation_prompt=True)

    return Loaded(render, normalizes=normalizes())
