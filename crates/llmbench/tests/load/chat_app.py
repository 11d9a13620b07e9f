"""A chat server on ASGI for a server of HTTP that others wrote: it streams as many chunks as tokens are asked for, and notes
the version of HTTP and the path of each request in the file that ASKED names."""

import asyncio
import json
import os

MODELS = {"object": "list", "data": [{"id": "tiny", "object": "model"}]}


def note(scope):
    with open(os.environ["ASKED"], "a") as asked:
        print(scope["http_version"], scope["scheme"], scope["path"], file=asked)


async def body_of(receive):
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    note(scope)
    body = await body_of(receive)

    async def start(status, kind):
        headers = [(b"content-type", kind), (b"x-" + b"long" * 40, b"v" * 3000), (b"set-cookie", b"a=b")]
        await send({"type": "http.response.start", "status": status, "headers": headers})

    async def event(data):
        await send({"type": "http.response.body", "body": f"data: {data}\n\n".encode(), "more_body": True})

    if scope["path"] == "/v1/models":
        await start(200, b"application/json")
        await send({"type": "http.response.body", "body": json.dumps(MODELS).encode()})
    elif scope["path"] == "/v1/chat/completions":
        asked = json.loads(body)
        tokens = asked["max_tokens"]
        await start(200, b"text/event-stream")
        for index in range(tokens):
            choice = {"index": 0, "delta": {"content": "x"}, "finish_reason": "length" if index + 1 == tokens else None}
            await event(json.dumps({"object": "chat.completion.chunk", "model": "tiny", "choices": [choice]}))
            await asyncio.sleep(0.002)
        usage = {"prompt_tokens": len(body), "completion_tokens": tokens, "total_tokens": len(body) + tokens}
        await event(json.dumps({"object": "chat.completion.chunk", "model": "tiny", "choices": [], "usage": usage}))
        await event("[DONE]")
        await send({"type": "http.response.body", "body": b""})
    else:
        await start(404, b"text/plain")
        await send({"type": "http.response.body", "body": b"no such page"})
