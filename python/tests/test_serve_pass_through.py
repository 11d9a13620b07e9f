"""The floor: ids come with the request."""

import json

from .serve_client import ServeTest
from .support import needs, u32


@needs("numpy", "jinja2", "tokenizers")
class PassThrough(ServeTest):
    def test_ids_come_back_as_they_were_sent(self):
        served = self.serve("pass-through", 1, pipeline={"collate": "numpy/pad"})
        connection = self.connect(served)
        sent = [[index, 7, 4_000_000_000, *range(index)] for index in range(50)]
        for index, ids in enumerate(sent):
            connection.send(index, json.dumps({"prompt_token_ids": ids}).encode())
        answers = dict(connection.receive() for _ in sent)
        for index, ids in enumerate(sent):
            self.assertEqual((answers[index].status, answers[index].body), (0, u32(ids)))
        self.assertEqual(served.ask("stats")["answered"], len(sent))

    def test_what_is_not_a_list_of_ids_is_refused(self):
        connection = self.connect(self.serve("pass-through", 1, pipeline={"collate": "numpy/pad"}))
        for body in (b"", b"[1]", b"{}", b'{"prompt_token_ids": []}', b'{"prompt_token_ids": ["a"]}'):
            with self.subTest(body=body):
                self.assertEqual(connection.ask(body).status, 1)
        self.assertEqual(connection.ask(b'{"prompt_token_ids": [-1]}').status, 1)
        self.assertEqual(connection.ask(b'{"prompt_token_ids": [5]}').body, u32([5]))
