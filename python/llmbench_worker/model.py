"""The model's three files, as every engine reads them."""

import json
from functools import cached_property
from pathlib import Path

from .errors import FatalError

NAMED_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
"""Special tokens that every tokenizer has names for, in the order of transformers."""


class Model:
    """A folder with `tokenizer.json`, `tokenizer_config.json` and `chat_template.jinja` (already resolved)."""

    def __init__(self, paths: dict, timestamp: int) -> None:
        """`paths` is the request's `model`; `timestamp` (Unix seconds) is the time that templates see.

        Raises:
            FatalError: there is no such folder.
        """
        self.folder = Path(paths["dir"])
        self.tiktoken: dict | None = paths.get("tiktoken")
        self.timestamp = timestamp
        if not self.folder.is_dir():
            raise FatalError(f"the model's folder {self.folder} does not exist; run llmbench again to prepare it")

    @property
    def tokenizer_file(self) -> str:
        return str(self.folder / "tokenizer.json")

    @cached_property
    def template(self) -> str:
        """The text of the chat template."""
        # Without newline translation: a template's bytes are the model's.
        with open(self.folder / "chat_template.jinja", encoding="utf-8", newline="") as file:
            return file.read()

    @cached_property
    def tool_template(self) -> str | None:
        """The template of requests with tools, where the model has one of its own.

        It is the configuration's `tool_use`, if `template` is the configuration's `default` and not a file that takes
        its place.
        """
        named = self._config.get("chat_template")
        if isinstance(named, list):
            named = {entry.get("name"): entry.get("template") for entry in named if isinstance(entry, dict)}
        if not isinstance(named, dict):
            return None
        default, tool_use = named.get("default"), named.get("tool_use")
        if not isinstance(default, str) or not isinstance(tool_use, str):
            return None
        return _plain_ends(tool_use) if _plain_ends(default) == _plain_ends(self.template) else None

    @cached_property
    def _config(self) -> dict:
        return json.loads((self.folder / "tokenizer_config.json").read_bytes())

    @cached_property
    def special_tokens(self) -> dict[str, str]:
        """Names and texts of the special tokens: the variables that a template sees beside messages and tools.

        As transformers collects them: the seven standard names first, then the further keys of the configuration that
        end in `_token` and hold a token, then those of `extra_special_tokens` and `model_specific_special_tokens` where
        these are objects.
        """
        config = self._config
        further = {name: value for name, value in config.items() if name.endswith("_token")}
        for key in ("extra_special_tokens", "model_specific_special_tokens"):
            if isinstance(config.get(key), dict):
                further.update(config[key])
        tokens = {}
        for name in (*NAMED_TOKENS, *further):
            text = _token_text(config.get(name, further.get(name)))
            if text is not None:
                tokens[name] = text
        return tokens


def _plain_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _token_text(value: object) -> str | None:
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else None
