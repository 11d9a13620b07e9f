"""Renders chat templates with transformers and prints the results as JSON, one case a line.

    render_with_transformers.py TIMESTAMP models FOLDER...      model folders, loaded as a user loads them
    render_with_transformers.py TIMESTAMP templates FILE...     template files, with a tokenizer made here
    render_with_transformers.py TIMESTAMP snippets SEED COUNT   random small templates

A line holds what the Rust side needs (template, special tokens, messages, tools, variables,
add_generation_prompt) and either `expected` or `error`.
"""

import datetime as real
import json
import pathlib
import sys

import jinja2
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

import chat_cases
import snippets


def fix_clock(timestamp):
    """`strftime_now` calls `datetime.now()` of this module."""

    class Fixed(real.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls.fromtimestamp(timestamp, real.timezone.utc).replace(tzinfo=None)

    chat_template_utils.datetime = Fixed


def emit(name, template, special, case, render):
    line = {
        "name": name,
        "template": template,
        "special": special,
        "messages": case["messages"],
        "tools": case["tools"],
        "variables": case["variables"],
        "add_generation_prompt": case["add_generation_prompt"],
    }
    try:
        line["expected"] = render()
    except Exception as error:  # whatever Python refuses, the other side has to refuse too
        line["error"] = f"{type(error).__name__}: {error}"
        line["raised"] = str(error) if type(error) is jinja2.exceptions.TemplateError else None
    # A lone surrogate cannot be written as UTF-8; such a case says nothing about templates.
    text = json.dumps(line, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return
    print(text)


def with_tokenizer(label, tokenizer):
    for case in chat_cases.cases():
        tools = None if case["tools"] is None else json.loads(case["tools"])

        def render():
            return tokenizer.apply_chat_template(
                json.loads(case["messages"]),
                tools=tools,
                tokenize=False,
                add_generation_prompt=case["add_generation_prompt"],
                **case["variables"],
            )

        template = tokenizer.get_chat_template(tools=tools)
        emit(f"{label}: {case['name']}", template, tokenizer.special_tokens_map, case, render)


def minimal_tokenizer(template):
    from tokenizers import Tokenizer, models

    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, unk_token="<unk>")),
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        image_token="<image>",
        chat_template=template,
    )


def main():
    timestamp, mode, *rest = sys.argv[1:]
    fix_clock(int(timestamp))
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    if mode == "models":
        for folder in rest:
            with_tokenizer(pathlib.Path(folder).name, AutoTokenizer.from_pretrained(folder))
    elif mode == "templates":
        for file in rest:
            with open(file, encoding="utf-8") as handle:
                with_tokenizer(pathlib.Path(file).name, minimal_tokenizer(handle.read()))
    elif mode == "snippets":
        for template, messages, variables in snippets.generate(int(rest[0]), int(rest[1])):
            case = {
                "messages": json.dumps(messages, ensure_ascii=False),
                "tools": None,
                "variables": variables,
                "add_generation_prompt": False,
            }

            def render():
                rendered, _ = chat_template_utils.render_jinja_template(
                    [json.loads(case["messages"])], chat_template=template, **json.loads(json.dumps(variables))
                )
                return rendered[0]

            emit("snippet", template, {}, case, render)
    else:
        sys.exit(f"unknown mode {mode}")


if __name__ == "__main__":
    main()
