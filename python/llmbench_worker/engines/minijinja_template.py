"""minijinja's Python binding, set up as jinja2 is for transformers.

Its own `tojson` escapes HTML and sorts keys, so jinja2's of transformers takes its place: called back in Python.
"""

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from minijinja import Environment, TemplateError

from ..errors import UnavailableError, one_line
from . import Loaded

if TYPE_CHECKING:
    from ..model import Model

NAME = "chat"


def raise_exception(message: str) -> None:
    raise ValueError(message)


def tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def load(model: "Model", _call_path: str) -> Loaded:
    moment = datetime.fromtimestamp(model.timestamp, timezone.utc).replace(tzinfo=None)
    environment = Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        pycompat=True,
        debug=False,
        auto_escape_callback=lambda _name: False,
        filters={"tojson": tojson},
        globals={"raise_exception": raise_exception, "strftime_now": moment.strftime},
    )
    try:
        environment.add_template(NAME, model.template)
    except TemplateError as error:
        raise UnavailableError(
            f"minijinja does not compile this model's chat template ({one_line(str(error))}); leave this engine out"
        ) from error
    render = environment.render_template
    special_tokens = model.special_tokens

    def call(chat: tuple[list[dict], list[dict] | None]) -> str:
        messages, tools = chat
        return render(
            NAME, messages=messages, tools=tools, documents=None, add_generation_prompt=True, **special_tokens
        )

    return Loaded(call)
