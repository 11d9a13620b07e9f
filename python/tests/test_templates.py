"""The template call paths: both must render the same bytes, as transformers means them."""

import json
import subprocess
import sys
import unittest

from .support import ROOT, TIMESTAMP, WorkerTest, needs, op, write_inputs, write_model

PAIRS = ["transformers/apply_chat_template", "jinja2/render"]


class Templates(WorkerTest):
    def render(self, template: str, request: dict, **config: object) -> list[dict]:
        """The answer of both call paths to `dump`."""
        model = write_model(self.folder / "other", template, **config)
        inputs = write_inputs(self.folder / "other", [request, request], 1)
        subject = self.start(PAIRS, model=model)
        answers = []
        for pair in PAIRS:
            subject.prepare("c", op(pair, "template"), inputs)
            answers.append(subject.dump("c", 0))
        return answers

    def assert_renders(self, template: str, request: dict, expected: str, **config: object) -> None:
        for pair, answer in zip(PAIRS, self.render(template, request, **config), strict=True):
            with self.subTest(pair):
                self.assertEqual(answer.get("output"), {"text": expected}, answer)

    @needs("transformers", "jinja2")
    def test_both_render_every_request_alike(self):
        subject = self.start(PAIRS)
        hashes = [self.hashes(subject, op(pair, "template")) for pair in PAIRS]
        self.assertEqual(hashes[0], hashes[1])
        self.assertEqual(len(set(hashes[0])), self.inputs["pool"])

    @needs("transformers", "jinja2")
    def test_generation_blocks_loop_controls_and_namespaces(self):
        template = (
            "{% set ns = namespace(last=0) %}\n"
            "{% for m in messages %}\n"
            "{% if loop.index == 2 %}{% continue %}{% endif %}\n"
            "{% if loop.index == 4 %}{% break %}{% endif %}\n"
            "   {% generation %}\n"
            "{% set inner = 1 %}{% set ns.last = loop.index %}[{{ m.content }}]\n"
            "   {% endgeneration %}\n"
            "{% endfor %}\n"
            "{{ ns.last }} {{ inner is defined }} {{ dict(a=1) | tojson }}"
        )
        messages = [{"role": "user", "content": str(index)} for index in range(5)]
        self.assert_renders(template, {"messages": messages}, '[0]\n[2]\n3 False {"a": 1}')

    @needs("transformers", "jinja2")
    def test_requests_with_tools_have_a_template_of_their_own_where_the_model_has_one(self):
        named = [
            {"name": "default", "template": "D\r\n{{ tools }}"},
            {"name": "tool_use", "template": "T {{ tools[0] }}"},
        ]
        message = {"messages": [{"role": "user", "content": "x"}]}
        tools = [{"type": "function", "function": {"name": "f"}}]
        self.assert_renders("D\n{{ tools }}", message, "D\nNone", chat_template=named)
        self.assert_renders("D\n{{ tools }}", {**message, "tools": tools}, f"T {tools[0]}", chat_template=named)
        # A file of its own takes the place of all of them.
        self.assert_renders("F", {**message, "tools": tools}, "F", chat_template=named)

    @needs("transformers", "jinja2")
    def test_tojson_keeps_order_and_escapes_nothing(self):
        tools = [{"type": "function", "function": {"name": "f", "parameters": {"z": "<&'>", "a": "é", "n": 1e22}}}]
        self.assert_renders(
            "{{ tools | tojson }}|{{ tools[0].function.parameters | tojson(indent=2) }}",
            {"messages": [{"role": "user", "content": "x"}], "tools": tools},
            json.dumps(tools, ensure_ascii=False)
            + "|"
            + json.dumps(tools[0]["function"]["parameters"], ensure_ascii=False, indent=2),
        )

    @needs("transformers", "jinja2")
    def test_the_time_is_that_of_the_request(self):
        self.assert_renders(
            "{{ strftime_now('%d %b %Y %H:%M:%S') }}",
            {"messages": [{"role": "user", "content": "x"}]},
            "14 Nov 2023 22:13:20",
        )
        self.assertEqual(TIMESTAMP, 1_700_000_000)

    @needs("transformers", "jinja2")
    def test_special_tokens_reach_the_template(self):
        """Standard names, an AddedToken object, a further `_token`, and named extra tokens; not flags, not null."""
        self.assert_renders(
            "{{ bos_token }} {{ eos_token }} {{ image_token }} {{ audio }} {{ unk_token is defined }} "
            "{{ add_bos_token }}",
            {"messages": [{"role": "user", "content": "x"}]},
            "<|bos|> <|im_end|> <img> <snd> False ",
            image_token="<img>",
            unk_token=None,
            extra_special_tokens={"audio": "<snd>"},
        )

    @needs("transformers", "jinja2")
    def test_null_keys_are_absent_and_reasoning_has_its_standard_name(self):
        message = {"role": "assistant", "content": "done", "tool_calls": None, "reasoning": "because"}
        self.assert_renders(
            "{% for m in messages %}{{ m.tool_calls is defined }} {{ m.reasoning_content }} {{ m.thinking }}"
            "{% endfor %}",
            {"messages": [message]},
            "False because because",
        )

    @needs("transformers", "jinja2")
    def test_whitespace_and_undefined_names(self):
        self.assert_renders(
            "  {%- if true %}\n  a\r\n{% endif %}\n\tb{{ nothing }}{{ tools is none }}{{ documents is none }}\n",
            {"messages": [{"role": "user", "content": "x"}]},
            "  a\n\tbTrueTrue",
        )

    @needs("transformers", "jinja2")
    def test_what_a_template_refuses_is_an_error_of_the_cell(self):
        request = {"messages": [{"role": "user", "content": "x"}]}
        for template, word in (
            ("{{ raise_exception('roles must\nalternate') }}", "TemplateError: roles must alternate"),
            ("{{ ''.__class__.__mro__ }}", "SecurityError"),
            ("{{ messages.append(1) }}", "SecurityError"),
            ("{{ nobody.at_home.here }}", "UndefinedError"),
            ("{% for i in range(10 ** 9) %}x{% endfor %}", "OverflowError"),
        ):
            for pair, answer in zip(PAIRS, self.render(template, request), strict=True):
                with self.subTest(template=template, pair=pair):
                    self.assertEqual((answer["type"], answer["kind"]), ("error", "failed"), answer)
                    self.assertIn(word, answer["message"])
                    self.assertNotIn("\n", answer["message"])

    @needs("jinja2")
    def test_a_namespace_takes_no_private_names(self):
        """So does transformers from 5.23 on, but not 5.20, the last for Python 3.10."""
        from jinja2.exceptions import SecurityError

        from llmbench_worker.engines.jinja2_template import environment

        made = environment(0)
        self.assertEqual(made.from_string("{% set ns = namespace(self=1) %}{{ ns.self }}").render(), "1")
        with self.assertRaises(SecurityError):
            made.from_string("{{ namespace(__class__=1) }}").render()

    @needs("transformers", "jinja2")
    def test_a_template_that_does_not_compile_fails_its_cells(self):
        for pair, answer in zip(PAIRS, self.render("{% if %}", {"messages": [{"role": "user"}]}), strict=True):
            with self.subTest(pair):
                self.assertEqual(answer["type"], "error")

    @needs("transformers")
    def test_the_quick_import_gives_the_class_of_the_whole_package(self):
        script = (
            "from llmbench_worker.engines.hf_transformers import tokenizer_class\n"
            "quick = tokenizer_class()\n"
            "import sys\n"
            "assert 'torch' not in sys.modules\n"
            "quick_source = sys.modules[quick.__module__].__file__\n"
            "for name in [name for name in sys.modules if name.partition('.')[0] == 'transformers']:\n"
            "    del sys.modules[name]\n"
            "from transformers import PreTrainedTokenizerFast as whole\n"
            "assert (quick.__module__, quick.__qualname__) == (whole.__module__, whole.__qualname__), whole\n"
            "assert quick_source == sys.modules[whole.__module__].__file__\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
        )
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
