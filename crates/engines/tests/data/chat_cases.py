"""Conversations for the comparison of chat templates: every shape that a server meets.

Each case is a dict with `name`, `messages` (JSON text, so that both languages parse the same bytes), `tools` (JSON
text or None), `variables` and `add_generation_prompt`.
"""

import json

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a <city> & \"its\" region.\nSecond line.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "City, e.g. Zürich", "default": "Bern"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                "days": {"type": ["integer", "null"], "minimum": 1, "maximum": 1e16, "default": 3},
                "precision": {"type": "number", "default": 1e-07, "multipleOf": 0.1},
                "tags": {"type": "array", "items": {"type": "string"}, "nullable": True},
                "place": {
                    "type": "object",
                    "properties": {"lat": {"type": "number"}, "lon": {"type": "number"}},
                    "required": ["lat"],
                },
                "mode": {"oneOf": [{"type": "string", "default": "a"}, {"type": "integer"}], "description": "Mode"},
            },
            "required": ["city"],
        },
    },
}
CLOCK = {
    "type": "function",
    "function": {"name": "now", "description": "The time", "parameters": {"type": "object", "properties": {}}},
}
STRICT = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Look up 日本語 🙂",
        "parameters": {
            "type": "object",
            "properties": {"key": {"type": "string", "description": "Key"}, "flags": {"type": "boolean"}},
            "required": ["key", "flags"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
ARGUMENTS = {
    "city": "Zürich",
    "days": 3,
    "precision": 1e-07,
    "big": 18446744073709551615,
    "low": -9223372036854775808,
    "nested": {"list": [1, 2.5, None, True, {"k": "v"}], "empty": {}, "none": [], "text": "a \"q\" 'p' \\ \n\t</x>"},
    "float": 1e16,
}


def call(name, arguments, identifier="call00001"):
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


def system(text):
    return {"role": "system", "content": text}


def conversations():
    """Yields name, messages, tools."""
    hello = [user("Hello"), assistant("Hi there!"), user("How are you?")]
    yield "user", [user("Hello")], None
    yield "three", hello, None
    yield "system", [system("Be brief."), *hello], None
    yield "developer", [{"role": "developer", "content": "Be brief."}, *hello], None
    yield "assistant_last", hello[:2], None
    yield "spaces", [system("  \n S \n"), user("\n  spaced \t\n"), assistant("  a  \n\n"), user(" b ")], None
    yield "empty", [system(""), user(""), assistant(""), user("x")], None
    yield "null", [user("x"), assistant(None, tool_calls=[call("now", {})]), user("y")], [CLOCK]
    yield "null_alone", [user(None)], None
    yield "missing", [{"role": "user"}, {"role": "assistant", "name": "n"}], None
    yield "parts", [
        system([{"type": "text", "text": "Sys"}]),
        user([{"type": "text", "text": " What is it? "}, {"type": "image"}, {"type": "text", "text": "B"}]),
        assistant([{"type": "text", "text": "A cat."}]),
        user([{"type": "image", "image": "http://x/y.png"}, {"type": "text", "text": "And this?"}]),
    ], None
    yield "unicode", [
        system("日本語 é ñ \u00a0nbsp\u2003"),
        user("\u200bzero \ufeffbom \U0001f600 ﷽ e\u0301 \x1c\x1f\x85\u2028"),
        assistant("\u1c80ǆ ß İ ς Σ"),
        user("<|im_end|><s>[INST]{{ x }}{% raw %}"),
    ], None
    yield "two_users", [user("a"), user("b")], None
    yield "starts_with_assistant", [assistant("a"), user("b")], None
    yield "unknown_role", [user("a"), {"role": "critic", "content": "b"}, user("c")], None
    yield "tools_unused", [system("Be brief."), user("Hello")], [WEATHER, CLOCK]
    yield "tools_no_system", [user("Hello")], [STRICT]
    yield "tools_empty", [user("Hello")], []
    yield "call", [
        user("Weather?"),
        assistant("", tool_calls=[call("get_weather", ARGUMENTS)]),
        {"role": "tool", "name": "get_weather", "tool_call_id": "call00001", "content": "{\"t\": 21.5}"},
        assistant("It is 21.5."),
        user("Thanks"),
    ], [WEATHER, CLOCK, STRICT]
    yield "call_text_arguments", [
        user("Weather?"),
        assistant("Let me see.", tool_calls=[call("get_weather", json.dumps(ARGUMENTS))]),
        {"role": "tool", "name": "get_weather", "tool_call_id": "call00001", "content": "sunny"},
    ], [WEATHER]
    yield "calls_parallel", [
        system("S"),
        user("Both?"),
        assistant(None, tool_calls=[call("now", {}, "abcdefghi"), call("get_weather", {"city": "Bern"}, "123456789")]),
        {"role": "tool", "name": "now", "tool_call_id": "abcdefghi", "content": "12:00"},
        {"role": "tool", "name": "get_weather", "tool_call_id": "123456789", "content": {"t": 1.0, "ok": True}},
        assistant("Done.", reasoning_content="I have both."),
        user("More"),
    ], [CLOCK, WEATHER]
    yield "call_open", [user("x"), assistant("", tool_calls=[call("now", {})])], [CLOCK]
    yield "call_without_tools", [user("x"), assistant("", tool_calls=[call("now", {"a": [1]})]), user("y")], None
    yield "ipython", [user("x"), {"role": "ipython", "content": {"output": [1, "a'b"]}}, assistant("y")], None
    yield "thinking", [
        user("1+1?"),
        assistant("2", reasoning_content="One and one.\nTwo."),
        user("2+2?"),
        assistant("<think>\nmore\n</think>\n\n4", thinking="t"),
        user("3+3?"),
        assistant("6", reasoning="r"),
    ], None
    yield "thinking_call", [
        user("x"),
        assistant("", reasoning_content="think", tool_calls=[call("now", {})]),
        {"role": "tool", "name": "now", "tool_call_id": "call00001", "content": "noon"},
    ], [CLOCK]
    long = [system("Long.")]
    for turn in range(200):
        long.append(user(f"Question {turn}: " + "word " * (turn % 7)))
        long.append(assistant(f"Answer {turn}.", **({"reasoning_content": f"r{turn}"} if turn % 5 == 0 else {})))
    yield "turns_200", long[:-1], None


def cases():
    for name, messages, tools in conversations():
        for prompt in (False, True):
            yield {
                "name": f"{name}{'+prompt' if prompt else ''}",
                "messages": json.dumps(messages, ensure_ascii=False),
                "tools": None if tools is None else json.dumps(tools, ensure_ascii=False),
                "variables": {},
                "add_generation_prompt": prompt,
            }
    hello = json.dumps([user("Hello"), assistant("Hi", reasoning_content="why"), user("Bye")])
    for variables in (
        {"enable_thinking": False},
        {"enable_thinking": True, "reasoning_effort": "high"},
        {"date_string": "1 Jan 2030", "tools_in_user_message": False, "builtin_tools": ["browser", "python"]},
        {"documents": [{"title": "T", "text": "D1"}, {"title": "U", "text": "D2"}]},
        {"thinking": True, "model_identity": "You are M.", "custom_tools": [CLOCK], "keep_all_reasoning": True},
    ):
        yield {
            "name": "variables " + " ".join(variables),
            "messages": hello,
            "tools": None,
            "variables": variables,
            "add_generation_prompt": True,
        }
