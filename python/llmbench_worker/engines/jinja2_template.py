"""The compiled template alone, in an environment that renders as transformers' does.

What that environment is (transformers.utils.chat_template_utils, version 5): jinja2's immutable sandbox without
automatic escaping, blocks trimmed on both sides, loop controls, `{% generation %}` blocks, a `tojson` that does not
escape HTML and keeps key order, `raise_exception`, `strftime_now`, and a `dict` and a `namespace` that give a template
no way to the interpreter. It is built here, so that a worker that only renders need not import transformers.
"""

import json
from collections.abc import Callable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from jinja2 import nodes
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from . import Loaded

if TYPE_CHECKING:
    from ..model import Model


class GenerationBlocks(Extension):
    """`{% generation %}` … `{% endgeneration %}` marks what the assistant wrote; its text is that of its body.

    The body becomes a call block, whose scope keeps what is assigned inside, as in transformers.
    """

    tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    @staticmethod
    def _body(caller: Callable[[], str]) -> str:
        return caller()


class TemplateDict:
    """`dict` without its attributes."""

    def __call__(self, *args: Any, **keys: Any) -> dict:
        return dict(*args, **keys)

    def fromkeys(self, *args: Any) -> dict:
        return dict.fromkeys(*args)


class TemplateNamespace(Namespace):
    """jinja2's namespace without attributes that start with an underscore."""

    def __init__(*args: Any, **keys: Any) -> None:
        values = dict(*args[1:], **keys)
        for name in values:
            _refuse_private(name)
        Namespace.__init__(args[0], values)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_private(name)
        super().__setitem__(name, value)


def _refuse_private(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace cannot have the attribute {name!r}")


def raise_exception(message: str) -> None:
    raise TemplateError(message)


def tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment(timestamp: int) -> ImmutableSandboxedEnvironment:
    """The environment; `strftime_now` shows `timestamp` (Unix seconds) in UTC."""
    moment = datetime.fromtimestamp(timestamp, timezone.utc).replace(tzinfo=None)
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationBlocks, loopcontrols]
    )
    made.filters["tojson"] = tojson
    made.globals.update(
        raise_exception=raise_exception,
        strftime_now=moment.strftime,
        dict=TemplateDict(),
        namespace=TemplateNamespace,
    )
    return made


def load(model: "Model", _call_path: str) -> Loaded:
    made = environment(model.timestamp)
    render = made.from_string(model.template).render
    special_tokens = model.special_tokens
    if model.tool_template is not None:
        without_tools, with_tools = render, made.from_string(model.tool_template).render

        def render(*, tools: list[dict] | None, **variables: Any) -> str:
            return (without_tools if tools is None else with_tools)(tools=tools, **variables)

    def call(chat: tuple[list[dict], list[dict] | None]) -> str:
        messages, tools = chat
        return render(messages=messages, tools=tools, documents=None, add_generation_prompt=True, **special_tokens)

    return Loaded(call)
