"""The sidecar's pipeline as it is usually built in Python: uvicorn, transformers and httpx.

Chat completions come in, template and tokenizer make ids of them, `/v1/completions` of the server gets the ids, and its
chunks go back as chat chunks. MODEL and UPSTREAM are environment variables. `uvicorn proxy:app --app-dir python/bench`.
"""

import json
import os

import httpx
from transformers import PreTrainedTokenizerFast

tokenizer = PreTrainedTokenizerFast.from_pretrained(os.environ["MODEL"])
upstream = httpx.AsyncClient(base_url=os.environ["UPSTREAM"], timeout=60, limits=httpx.Limits(max_connections=None))

STREAM = [(b"content-type", b"text/event-stream")]
PASSED_ON = ("model", "max_tokens", "temperature", "stream", "stream_options", "ignore_eos")


async def app(scope, receive, send):
    """The ASGI application."""
    if scope["type"] != "http":
        return
    if scope["path"] != "/v1/chat/completions":
        await pass_through(scope, send)
        return
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    request = json.loads(body)
    ids = tokenizer.apply_chat_template(request["messages"], add_generation_prompt=True, return_dict=False)
    asked = {name: request[name] for name in PASSED_ON if name in request} | {"prompt": ids}
    if "max_completion_tokens" in request:
        asked["max_tokens"] = request["max_completion_tokens"]
    async with upstream.stream("POST", "/v1/completions", json=asked) as answer:
        await send({"type": "http.response.start", "status": answer.status_code, "headers": STREAM})
        async for line in answer.aiter_lines():
            if line.startswith("data:"):
                await send({"type": "http.response.body", "body": chat_event(line[5:].strip()), "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def chat_event(data: str) -> bytes:
    """A chunk of a completion as the chunk of a chat."""
    if data == "[DONE]":
        return b"data: [DONE]\n\n"
    chunk = json.loads(data)
    chunk["object"] = "chat.completion.chunk"
    for choice in chunk.get("choices", ()):
        choice["delta"] = {"content": choice.pop("text", "")}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


async def pass_through(scope, send):
    """Everything else as it is: the list of models."""
    answer = await upstream.request(scope["method"], scope["path"])
    kind = answer.headers.get("content-type", "application/json").encode()
    start = {"type": "http.response.start", "status": answer.status_code, "headers": [(b"content-type", kind)]}
    await send(start)
    await send({"type": "http.response.body", "body": answer.content, "more_body": False})
