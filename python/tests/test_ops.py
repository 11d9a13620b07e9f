"""Every operation and call path: what the checks, dumps and samples say, against truths computed here."""

import json
from importlib.util import find_spec

from .support import ALL_PAIRS, WorkerTest, chats, i64, needs, op, sha256, texts_of, u32, write_inputs, write_model

TOKENIZE = ["hf-tokenizers/encode", "hf-tokenizers/encode_batch", "transformers/__call__", "tiktoken/encode"]
STACK = {
    "parse": "pydantic/json.loads+model_validate",
    "template": "transformers/apply_chat_template",
    "tokenize": "hf-tokenizers/encode",
    "collate": "numpy/pad",
    "handoff": "msgspec/msgpack.encode",
}


def flat(rows: list[list[int]]) -> list[int]:
    return [value for row in rows for value in row]


class Parse(WorkerTest):
    PAIR = "pydantic/json.loads+model_validate"

    @needs("pydantic")
    def test_check_covers_roles_and_texts(self):
        subject = self.start([self.PAIR])
        expected = []
        for request in chats()[: self.inputs["pool"]]:
            text = ""
            for message in request["messages"]:
                content = message["content"]
                parts = content if isinstance(content, list) else [{"text": content or ""}]
                text += message["role"] + "\0" + "".join(part["text"] for part in parts) + "\0"
            expected.append(sha256(text.encode()))
        self.assertEqual(self.hashes(subject, op(self.PAIR, "parse")), expected)
        self.assertEqual(subject.dump("check", 3)["output"], {"text": "user\nlook\nassistant\n\n"})

    @needs("pydantic")
    def test_a_request_of_the_wrong_shape_is_an_error_of_the_cell(self):
        subject = self.start([self.PAIR])
        inputs = write_inputs(self.folder / "model", [{"messages": [{"content": "no role"}]}] * 2, warmup=1)
        answer = subject.prepare("c", op(self.PAIR, "parse"), inputs, check=1)[-1]
        self.assertEqual((answer["type"], answer["kind"]), ("error", "failed"))
        self.assertIn("ValidationError", answer["message"])
        self.assertIn("role", answer["message"])
        self.assertNotIn("\n", answer["message"])

    @needs("pydantic")
    def test_validated_values_are_typed_and_the_rest_is_kept(self):
        from llmbench_worker.engines.pydantic_request import load

        parse = load(None, "").call
        request = parse(b'{"messages":[{"content":"x","role":"user","vendor":1}],"max_tokens":5,"vendor":{"a":[1]}}')
        self.assertEqual((request.max_tokens, request.stream), (5, False))
        self.assertEqual(request.model_extra, {"vendor": {"a": [1]}})
        self.assertEqual(list(request.messages[0]), ["content", "role", "vendor"])
        for broken in (
            b'{"messages":[{"role":"user","content":7}]}',
            b'{"messages":[],"max_tokens":"many"}',
            b'{"messages":[],"tools":[{"type":"function"}]}',
            b'{"messages":[{"role":"assistant","tool_calls":[{"function":{"arguments":"{}"}}]}]}',
            b'{"messages":[{"role":"user","content":[{"text":"part without type"}]}]}',
        ):
            with self.assertRaisesRegex(ValueError, "validation error"):
                parse(broken)


class Tokenize(WorkerTest):
    def truth(self) -> list[list[int]]:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(self.model["dir"] + "/tokenizer.json")
        tokenizer.no_truncation()
        pool = texts_of(self.inputs)[: self.inputs["pool"]]
        return [tokenizer.encode(text, add_special_tokens=False).ids for text in pool]

    @needs("tokenizers", "transformers", "tiktoken")
    def test_all_call_paths_give_the_ids_of_tokenizer_json(self):
        subject = self.start(TOKENIZE)
        truth = self.truth()
        self.assertGreater(max(map(len, truth)), 7)  # the truncation in the file must not act
        for pair in TOKENIZE:
            with self.subTest(pair):
                self.assertEqual(self.hashes(subject, op(pair, "tokenize")), [sha256(u32(ids)) for ids in truth])
                self.assertEqual(subject.dump("check", 6)["output"], {"ids": truth[6]})

    @needs("tokenizers", "transformers", "tiktoken")
    def test_bos_is_not_added_again(self):
        """The tokenizer adds a BOS by itself, the configuration asks for it, and the template has written one."""
        inputs = write_inputs(self.folder / "model", [{"messages": [{"role": "user", "content": "hello"}]}] * 2, 1)
        text = "<|bos|><|im_start|>hello"
        with open(inputs["texts"], "w") as file:
            file.write(2 * (json.dumps(text) + "\n"))
        subject = self.start(TOKENIZE)
        for pair in TOKENIZE:
            with self.subTest(pair):
                subject.prepare("c", op(pair, "tokenize"), inputs)
                self.assertEqual(subject.dump("c", 0)["output"]["ids"][:3], [264, 265, 259])

    @needs("tokenizers", "transformers")
    def test_tokens_that_only_the_configuration_knows_are_not_added(self):
        """pad_token of the tiny model is not in tokenizer.json: as text it must stay text, for every call path."""
        inputs = write_inputs(self.folder / "model", [{"messages": []}] * 2, 1)
        with open(inputs["texts"], "w") as file:
            file.write(2 * (json.dumps("<|not in the vocabulary|>") + "\n"))
        subject = self.start(TOKENIZE[:3])
        hashes = [self.hashes(subject, op(pair, "tokenize"), inputs) for pair in TOKENIZE[:3]]
        self.assertEqual(hashes[0], hashes[1])
        self.assertEqual(hashes[0], hashes[2])

    @needs("tiktoken")
    def test_tiktoken_is_unavailable_without_its_vocabulary(self):
        subject = self.start(["tiktoken/encode"], model={**self.model, "tiktoken": None})
        self.assertIn("tiktoken/encode", subject.ready["unavailable"])
        answer = subject.prepare("c", op("tiktoken/encode", "tokenize"), self.inputs)[-1]
        self.assertEqual((answer["type"], answer["kind"]), ("error", "unavailable"))
        self.assertIn("vocabulary", answer["message"])


class CollateAndHandoff(WorkerTest):
    @needs("tokenizers", "numpy")
    def test_collate_pads_to_a_multiple_of_eight(self):
        subject = self.start(["numpy/pad"])
        subject.prepare("ids", op("hf-tokenizers/encode", "tokenize"), self.inputs)
        ids = [subject.dump("ids", index)["output"]["ids"] for index in range(self.inputs["pool"])]
        for count in (1, 3):
            expected = []
            for first in range(len(ids)):
                rows = [ids[(first + step) % len(ids)] for step in range(count)]
                length = (max(map(len, rows)) + 7) // 8 * 8
                padded = [row + [0] * (length - len(row)) for row in rows]
                mask = [[1] * len(row) + [0] * (length - len(row)) for row in rows]
                expected.append(sha256(i64(flat(padded)) + i64(flat(mask))))
            with self.subTest(batch=count):
                self.assertEqual(self.hashes(subject, op("numpy/pad", "collate", batch=count)), expected)
        dumped = subject.dump("check", 6)["output"]["ids"]
        self.assertEqual(len(dumped) % 24, 0)
        self.assertEqual(dumped[: len(ids[6])], ids[6])

    @needs("numpy")
    def test_collate_of_one_empty_and_of_exact_length(self):
        from llmbench_worker.engines.numpy_pad import call

        self.assertEqual([array.shape for array in call([[]])], [(1, 0), (1, 0)])
        ids, mask = call([[1] * 8, [2]])
        self.assertEqual((ids.shape, str(ids.dtype), str(mask.dtype)), ((2, 8), "int64", "int64"))
        self.assertEqual(mask.tolist(), [[1] * 8, [1] + [0] * 7])

    @needs("tokenizers", "msgspec")
    def test_handoff_carries_the_ids(self):
        pairs = ["msgspec/msgpack.encode", "pickle/dumps"]
        subject = self.start([*pairs, "hf-tokenizers/encode"])
        truth = self.hashes(subject, op("hf-tokenizers/encode", "tokenize"))
        for pair in pairs:
            with self.subTest(pair):
                self.assertEqual(self.hashes(subject, op(pair, "handoff")), truth)

    @needs("msgspec")
    def test_handoff_bytes_are_a_map_of_two(self):
        from llmbench_worker.engines import msgspec_handoff, pickle_handoff

        message = {"request_id": "7", "prompt_token_ids": [1, 70000]}
        packed = msgspec_handoff.load(None, "").call(("7", [1, 70000]))
        self.assertEqual(packed[:1], b"\x82")
        self.assertEqual(msgspec_handoff.load(None, "").decode(packed), message)
        pickled = pickle_handoff.load(None, "").call(("7", [1, 70000]))
        self.assertEqual(pickled[:2], b"\x80\x05")
        self.assertEqual(pickle_handoff.load(None, "").decode(pickled), message)


class TotalAndBatch(WorkerTest):
    def rendered_inputs(self, subject) -> dict:
        """The inputs again, with what the template makes of the requests as their texts."""
        subject.prepare("text", op("transformers/apply_chat_template", "template"), self.inputs)
        pool = self.inputs["pool"]
        texts = [subject.dump("text", index)["output"]["text"] for index in range(pool)] + ["warm"] * 3
        path = self.folder / "rendered.jsonl"
        path.write_text("".join(json.dumps(text) + "\n" for text in texts))
        return {**self.inputs, "texts": str(path)}

    @needs("pydantic", "transformers", "numpy", "msgspec", "tiktoken")
    def test_total_of_every_stack_gives_the_ids_of_its_stages(self):
        subject = self.start(ALL_PAIRS)
        truth = self.hashes(subject, op("hf-tokenizers/encode", "tokenize"), self.rendered_inputs(subject))
        for changed in (
            {},
            {"template": "jinja2/render"},
            {"tokenize": "transformers/__call__", "handoff": "pickle/dumps"},
            {"tokenize": "tiktoken/encode"},
        ):
            with self.subTest(changed):
                self.assertEqual(self.hashes(subject, op("stack/any", "total", **{**STACK, **changed})), truth)

    @needs("transformers", "numpy")
    def test_batch_gives_the_padded_batch_and_its_stages(self):
        subject = self.start(ALL_PAIRS)
        stages = {stage: STACK[stage] for stage in ("template", "tokenize", "collate")}
        truth = self.hashes(subject, op("numpy/pad", "collate", batch=4), self.rendered_inputs(subject))
        for mode in ("stages", "requests"):
            for threads in (1, 3):
                with self.subTest(mode=mode, threads=threads):
                    cell = op("stack/any", "batch", threads=threads, batch=4, mode=mode, **stages)
                    self.assertEqual(self.hashes(subject, cell), truth)
                    subject.prepare("b", cell, self.inputs, timing="each")
                    *samples, done = subject.block("b", loops=3, offset=2, settle_ns=1)
                    self.assertEqual([sample["calls"] for sample in samples], [1, 1, 1])
                    self.assertGreater(done["warm_ns"], 0)
                    for sample in samples:
                        self.assertEqual(set(sample["stages"]), {"template", "tokenize", "collate"})
                        self.assertGreater(min(sample["stages"].values()), 0)
                        if mode == "stages":
                            whole = sample["end_ns"] - sample["start_ns"]
                            self.assertLessEqual(sum(sample["stages"].values()), whole)

    @needs("transformers", "numpy")
    def test_bad_parameters_are_named(self):
        subject = self.start(ALL_PAIRS)
        stages = {stage: STACK[stage] for stage in ("template", "tokenize", "collate")}
        for cell, word in (
            (op("stack/any", "batch", batch=4, mode="sideways", **stages), "sideways"),
            (op("stack/any", "batch", batch=0, mode="stages", **stages), "batch"),
            (op("stack/any", "batch", threads=0, batch=2, mode="stages", **stages), "threads"),
            (op("stack/any", "total", **{**STACK, "collate": None}), "collate"),
        ):
            with self.subTest(word):
                answer = subject.prepare("c", cell, self.inputs)[-1]
                self.assertEqual((answer["type"], answer["kind"]), ("error", "failed"))
                self.assertIn(word, answer["message"])

    @needs("transformers", "numpy")
    def test_a_failure_in_a_thread_of_the_pool_is_an_error_and_the_pool_lives_on(self):
        requests = [{"messages": [{"role": "user", "content": text}]} for text in ("fine", "raise", "fine", "warm")]
        inputs = write_inputs(self.folder / "model", requests, 1)
        subject = self.start(ALL_PAIRS)
        stages = {stage: STACK[stage] for stage in ("template", "tokenize", "collate")}
        cell = op("stack/any", "batch", threads=2, batch=2, mode="stages", **stages)
        subject.prepare("b", cell, inputs, timing="each")
        self.assertIn("this model knows no raising", subject.block("b", offset=0)[-1]["message"])
        # The batch from request 2 on is requests 2 and 0, which are fine.
        self.assertEqual([answer["type"] for answer in subject.block("b", offset=2)], ["sample", "done"])


class Unknown(WorkerTest):
    def test_a_pair_or_an_operation_that_does_not_exist_is_unavailable(self):
        subject = self.start(["nobody/encode"])
        self.assertIn("nobody/encode", subject.ready["unavailable"])
        for cell in (op("nobody/encode", "tokenize"), op("pickle/dumps", "tokenize"), op("pickle/dumps", "juggle")):
            answer = subject.prepare("c", cell, self.inputs)[-1]
            self.assertEqual((answer["type"], answer["kind"]), ("error", "unavailable"), answer)
            self.assertIn("it has:", answer["message"])

    def test_torch_is_asked_for_by_name_only(self):
        subject = self.start(["torch/pad"])
        if find_spec("torch") is None:
            self.assertIn("pip install torch", subject.ready["unavailable"]["torch/pad"])
        else:
            self.assertEqual(subject.ready["unavailable"], {})


class Model(WorkerTest):
    @needs("tokenizers")
    def test_a_broken_tokenizer_fails_its_cells_only(self):
        model = write_model(self.folder / "broken")
        (self.folder / "broken" / "tokenizer.json").write_text('{"truncated":')
        subject = self.start(["hf-tokenizers/encode", "pickle/dumps"], model=model)
        self.assertEqual(subject.ready["unavailable"], {})
        answer = subject.prepare("c", op("hf-tokenizers/encode", "tokenize"), self.inputs)[-1]
        self.assertEqual((answer["type"], answer["kind"]), ("error", "failed"))
        self.assertIn("hf-tokenizers/encode did not load", answer["message"])
