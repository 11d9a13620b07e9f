"""A model of the Qwen3 kind with random weights around a real tokenizer: a Hugging Face folder and a GGUF file.

It answers nonsense, as fast as a small machine can: what servers do around a model is what is looked at. Only the
standard library is needed. Formats: safetensors
(https://huggingface.co/docs/safetensors), GGUF version 3 (docs/gguf.md of ggml).
"""

import json
import random
import shutil
import struct
from pathlib import Path

HIDDEN, LAYERS, HEADS, HEAD_DIM, FFN, CONTEXT = 64, 1, 1, 64, 64, 32768
EPSILON, ROPE_THETA = 1e-6, 1_000_000.0

# The names that llama.cpp has for the ways in which byte-level BPE vocabularies split text, by a piece of the pattern
# that only they have. https://github.com/ggml-org/llama.cpp: src/llama-vocab.cpp
SPLITS = {r"\p{Lu}\p{Lt}": "gpt-4o", r"\p{N}|": "qwen2", r"\p{N}{1,3}": "llama-bpe"}


class Tokenizer:
    """What a tokenizer.json and the files beside it say."""

    def __init__(self, folder: Path):
        self.folder = folder
        parsed = json.loads((folder / "tokenizer.json").read_text())
        if parsed["model"]["type"] != "BPE":
            raise SystemExit(
                f"{folder}: the tokenizer is {parsed['model']['type']}; this needs a byte-level BPE, as Qwen3 has"
            )
        self.vocabulary: dict[str, int] = parsed["model"]["vocab"]
        self.merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in parsed["model"]["merges"]]
        self.added = parsed["added_tokens"]
        self.size = max([*self.vocabulary.values(), *(token["id"] for token in self.added)]) + 1
        config = json.loads((folder / "tokenizer_config.json").read_text())
        template = folder / "chat_template.jinja"
        self.template = template.read_text() if template.exists() else config["chat_template"]
        end = config.get("eos_token")
        end = end["content"] if isinstance(end, dict) else end
        ids = {token["content"]: token["id"] for token in self.added}
        self.end = ids.get(end, self.size - 1)
        pattern = json.dumps(parsed["pre_tokenizer"]).replace("\\\\", "\\")
        self.split = next((name for piece, name in SPLITS.items() if piece in pattern), "gpt-2")


def shapes(vocabulary: int) -> dict[str, tuple[int, ...]]:
    """Every tensor by its Hugging Face name; vectors are all ones."""
    tensors: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (vocabulary, HIDDEN),
        "lm_head.weight": (vocabulary, HIDDEN),
        "model.norm.weight": (HIDDEN,),
    }
    for layer in range(LAYERS):
        name = f"model.layers.{layer}."
        tensors |= {
            name + "input_layernorm.weight": (HIDDEN,),
            name + "post_attention_layernorm.weight": (HIDDEN,),
            name + "self_attn.q_norm.weight": (HEAD_DIM,),
            name + "self_attn.k_norm.weight": (HEAD_DIM,),
            name + "self_attn.q_proj.weight": (HEADS * HEAD_DIM, HIDDEN),
            name + "self_attn.k_proj.weight": (HEADS * HEAD_DIM, HIDDEN),
            name + "self_attn.v_proj.weight": (HEADS * HEAD_DIM, HIDDEN),
            name + "self_attn.o_proj.weight": (HIDDEN, HEADS * HEAD_DIM),
            name + "mlp.gate_proj.weight": (FFN, HIDDEN),
            name + "mlp.up_proj.weight": (FFN, HIDDEN),
            name + "mlp.down_proj.weight": (HIDDEN, FFN),
        }
    return tensors


GGUF_NAMES = {
    "model.embed_tokens": "token_embd",
    "lm_head": "output",
    "model.norm": "output_norm",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def gguf_name(name: str) -> str:
    name = name.removesuffix(".weight")
    if not name.startswith("model.layers."):
        return GGUF_NAMES[name] + ".weight"
    layer, name = name.removeprefix("model.layers.").split(".", 1)
    return f"blk.{layer}.{GGUF_NAMES[name]}.weight"


def count(shape: tuple[int, ...]) -> int:
    return shape[0] * (shape[1] if len(shape) > 1 else 1)


def halves(numbers: random.Random, values: int, exponent: int) -> bytes:
    """Half-precision values of random sign and mantissa: ±[1, 2) · 2^exponent. One long integer is masked."""
    bits = int.from_bytes(numbers.randbytes(2 * values), "little")
    kept = int.from_bytes(b"\xff\x83" * values, "little")
    fixed = int.from_bytes(struct.pack("<H", (exponent + 15) << 10) * values, "little")
    return ((bits & kept) | fixed).to_bytes(2 * values, "little")


def weights(vocabulary: int) -> dict[str, tuple[tuple[int, ...], bytes]]:
    """Shape and half-precision bytes of every tensor, always the same."""
    numbers = random.Random(1)
    one = struct.pack("<H", 15 << 10)
    made = {}
    for name, shape in shapes(vocabulary).items():
        exponent = -1 if "embed" in name or "lm_head" in name else -3
        made[name] = (shape, one * shape[0] if len(shape) == 1 else halves(numbers, count(shape), exponent))
    return made


def write_folder(tokenizer: Tokenizer, out: Path) -> None:
    """The Hugging Face folder."""
    out.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (tokenizer.folder / name).exists():
            shutil.copy(tokenizer.folder / name, out)
    config = {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "eos_token_id": tokenizer.end,
        "head_dim": HEAD_DIM,
        "hidden_act": "silu",
        "hidden_size": HIDDEN,
        "initializer_range": 0.02,
        "intermediate_size": FFN,
        "max_position_embeddings": CONTEXT,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "num_key_value_heads": HEADS,
        "rms_norm_eps": EPSILON,
        "rope_theta": ROPE_THETA,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "vocab_size": tokenizer.size,
    }
    (out / "config.json").write_text(json.dumps(config, indent=1))
    header, blobs, offset = {"__metadata__": {"format": "pt"}}, [], 0
    for name, (shape, data) in weights(tokenizer.size).items():
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
        blobs.append(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with (out / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.writelines(blobs)


# Kinds of values and tensors of GGUF.
U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
TENSOR_F32, TENSOR_F16 = 0, 1
ALIGNMENT = 32


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def entry(key: str, kind: int, value) -> bytes:
    if kind == STRING:
        return text(key) + struct.pack("<I", kind) + text(value)
    return text(key) + struct.pack("<I" + {U32: "I", F32: "f", BOOL: "?"}[kind], kind, value)


def listed(key: str, kind: int, values: list) -> bytes:
    body = b"".join(map(text, values)) if kind == STRING else struct.pack(f"<{len(values)}i", *values)
    return text(key) + struct.pack("<IIQ", ARRAY, kind, len(values)) + body


def write_gguf(tokenizer: Tokenizer, out: Path) -> None:
    """The file for llama.cpp."""
    tokens = [f"[PAD{number}]" for number in range(tokenizer.size)]
    normal, control, own, unused = 1, 3, 4, 5
    kinds = [unused] * tokenizer.size
    for piece, number in tokenizer.vocabulary.items():
        tokens[number], kinds[number] = piece, normal
    for token in tokenizer.added:
        tokens[token["id"]], kinds[token["id"]] = token["content"], control if token["special"] else own
    entries = [
        entry("general.architecture", STRING, "qwen3"),
        entry("general.name", STRING, "tiny-random"),
        entry("general.file_type", U32, 1),
        entry("qwen3.context_length", U32, CONTEXT),
        entry("qwen3.embedding_length", U32, HIDDEN),
        entry("qwen3.block_count", U32, LAYERS),
        entry("qwen3.feed_forward_length", U32, FFN),
        entry("qwen3.attention.head_count", U32, HEADS),
        entry("qwen3.attention.head_count_kv", U32, HEADS),
        entry("qwen3.attention.key_length", U32, HEAD_DIM),
        entry("qwen3.attention.value_length", U32, HEAD_DIM),
        entry("qwen3.attention.layer_norm_rms_epsilon", F32, EPSILON),
        entry("qwen3.rope.freq_base", F32, ROPE_THETA),
        entry("qwen3.vocab_size", U32, tokenizer.size),
        entry("tokenizer.ggml.model", STRING, "gpt2"),
        entry("tokenizer.ggml.pre", STRING, tokenizer.split),
        listed("tokenizer.ggml.tokens", STRING, tokens),
        listed("tokenizer.ggml.token_type", I32, kinds),
        listed("tokenizer.ggml.merges", STRING, tokenizer.merges),
        entry("tokenizer.ggml.eos_token_id", U32, tokenizer.end),
        entry("tokenizer.ggml.add_bos_token", BOOL, False),
        entry("tokenizer.chat_template", STRING, tokenizer.template),
    ]
    infos, blobs, offset = [], [], 0
    for name, (shape, values) in weights(tokenizer.size).items():
        is_vector = len(shape) == 1
        # llama.cpp multiplies by vectors in single precision; they are all ones.
        data = struct.pack("<f", 1.0) * shape[0] if is_vector else values
        # The innermost dimension comes first.
        infos.append(
            text(gguf_name(name))
            + struct.pack(
                f"<I{len(shape)}QIQ", len(shape), *reversed(shape), TENSOR_F32 if is_vector else TENSOR_F16, offset
            )
        )
        padded = data + b"\0" * (-len(data) % ALIGNMENT)
        blobs.append(padded)
        offset += len(padded)
    with out.open("wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(entries)))
        file.writelines(entries + infos)
        file.write(b"\0" * (-file.tell() % ALIGNMENT))
        file.writelines(blobs)
