"""A chat-completions request, validated as vLLM does: messages are typed dictionaries, other keys are let through."""

import json
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, ValidatorFunctionWrapHandler, WrapValidator
from typing_extensions import NotRequired, TypedDict  # pydantic needs this TypedDict below Python 3.12

from . import Loaded

if TYPE_CHECKING:
    from ..model import Model

OPEN = ConfigDict(extra="allow")


def as_sent(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """Validates and then keeps what came.

    A validated dictionary would have its keys in the order of the type. Templates print tools with `tojson`, so the
    client's order is part of the prompt.
    """
    check(value)
    return value


class Part(TypedDict):
    __pydantic_config__ = OPEN  # type: ignore[misc]
    type: str
    text: NotRequired[str | None]


class CalledFunction(TypedDict):
    __pydantic_config__ = OPEN  # type: ignore[misc]
    name: str
    arguments: NotRequired[str | dict[str, Any] | None]


class ToolCall(TypedDict):
    __pydantic_config__ = OPEN  # type: ignore[misc]
    id: NotRequired[str | None]
    type: NotRequired[str | None]
    function: CalledFunction


class Message(TypedDict):
    __pydantic_config__ = OPEN  # type: ignore[misc]
    role: str
    content: NotRequired[str | list[Part] | None]
    name: NotRequired[str | None]
    tool_calls: NotRequired[list[ToolCall] | None]
    tool_call_id: NotRequired[str | None]
    reasoning_content: NotRequired[str | None]
    refusal: NotRequired[str | None]


class Function(TypedDict):
    __pydantic_config__ = OPEN  # type: ignore[misc]
    name: str
    description: NotRequired[str | None]
    parameters: NotRequired[dict[str, Any] | None]
    strict: NotRequired[bool | None]


class Tool(TypedDict):
    __pydantic_config__ = OPEN  # type: ignore[misc]
    type: str
    function: Function


class Request(BaseModel):
    """The body of a request to `/v1/chat/completions`."""

    model_config = OPEN

    messages: Annotated[list[Message], WrapValidator(as_sent)]
    model: str | None = None
    tools: Annotated[list[Tool] | None, WrapValidator(as_sent)] = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream: bool | None = False
    stream_options: dict[str, Any] | None = None
    temperature: float | None = None
    top_p: float | None = None
    n: int | None = 1
    stop: str | list[str] | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    response_format: dict[str, Any] | None = None
    user: str | None = None


def load(_model: "Model", _call_path: str) -> Loaded:
    loads, validate = json.loads, Request.model_validate

    def call(line: bytes) -> Request:
        return validate(loads(line))

    return Loaded(call)
