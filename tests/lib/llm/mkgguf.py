"""Write a toy language model: a small llama-architecture GGUF file with random weights.

    python3 mkgguf.py OUT.gguf [--width 64] [--layers 2] [--seed 7]

The answers are noise, but everything else is real: a tokenizer, a chat template, a forward pass per
token, sampling. The same arguments give the same file, bit for bit, so a text made with a seed can
be compared between two ways of asking for it.

Format: GGUF version 3 (llama.cpp, docs/gguf.md): a header, typed key-value pairs, tensor
descriptions, aligned tensor data.
"""

import argparse
import array
import random
import struct

ALIGNMENT = 32
CONTEXT = 4096
HEADS = 4

# GGUF's value types, as far as they are used here.
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9

# llama.cpp's token types.
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6

SPACE = "\u2581"  # SentencePiece's mark for a leading space
WORDS = (
    "the of and to in is it you that he was for on are with as his they be at one have this from or "
    "had by hot but some what there we can out other were all your when up use word how said an each "
    "she which do their time if will way about many then them would write like so these her long make "
    "thing see him two has look more day could go come did my sound no most number who over know "
    "water than call first people may down side been now find "
).split()
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,!?'\"-:;()"
CHAT_TEMPLATE = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
)


def vocabulary():
    """Tokens, their types and merge scores: three special ones, all bytes, words, letters."""
    special = [("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL)]
    raw = [(f"<0x{b:02X}>", BYTE) for b in range(256)]
    text = [(SPACE + w, NORMAL) for w in WORDS] + [(SPACE, NORMAL)] + [(c, NORMAL) for c in LETTERS]
    tokens = special + raw + text
    silent = len(special) + len(raw)
    scores = [0.0] * silent + [-float(i) for i in range(len(text))]
    return tokens, scores, silent


def string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def pair(key, kind, payload):
    return string(key) + struct.pack("<I", kind) + payload


def list_pair(key, kind, payloads):
    return pair(key, ARRAY, struct.pack("<IQ", kind, len(payloads)) + b"".join(payloads))


def metadata(width, layers, hidden, tokens, scores):
    def number(key, value):
        return pair(key, UINT32, struct.pack("<I", value))

    return [
        pair("general.architecture", STRING, string("llama")),
        pair("general.name", STRING, string("toy")),
        number("general.alignment", ALIGNMENT),
        number("general.file_type", 0),
        number("llama.context_length", CONTEXT),
        number("llama.embedding_length", width),
        number("llama.block_count", layers),
        number("llama.feed_forward_length", hidden),
        number("llama.attention.head_count", HEADS),
        number("llama.attention.head_count_kv", HEADS),
        number("llama.rope.dimension_count", width // HEADS),
        pair("llama.attention.layer_norm_rms_epsilon", FLOAT32, struct.pack("<f", 1e-5)),
        number("llama.vocab_size", len(tokens)),
        pair("tokenizer.ggml.model", STRING, string("llama")),
        list_pair("tokenizer.ggml.tokens", STRING, [string(t) for t, _ in tokens]),
        list_pair("tokenizer.ggml.scores", FLOAT32, [struct.pack("<f", s) for s in scores]),
        list_pair("tokenizer.ggml.token_type", INT32, [struct.pack("<i", k) for _, k in tokens]),
        number("tokenizer.ggml.bos_token_id", 1),
        number("tokenizer.ggml.eos_token_id", 2),
        number("tokenizer.ggml.unknown_token_id", 0),
        pair("tokenizer.ggml.add_bos_token", BOOL, struct.pack("<?", True)),
        pair("tokenizer.chat_template", STRING, string(CHAT_TEMPLATE)),
    ]


def tensors(width, layers, hidden, vocab):
    """Names and shapes in GGUF's order of dimensions: the first varies fastest."""
    yield "token_embd.weight", [width, vocab]
    yield "output_norm.weight", [width]
    yield "output.weight", [width, vocab]
    for i in range(layers):
        block = f"blk.{i}."
        yield block + "attn_norm.weight", [width]
        yield block + "ffn_norm.weight", [width]
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            yield f"{block}{name}.weight", [width, width]
        yield block + "ffn_gate.weight", [width, hidden]
        yield block + "ffn_up.weight", [width, hidden]
        yield block + "ffn_down.weight", [hidden, width]


def weights(rng, name, shape, silent):
    count = 1
    for n in shape:
        count *= n
    if "norm" in name:
        return array.array("f", [1.0] * count)
    values = array.array("f", (rng.gauss(0, 0.3) for _ in range(count)))
    if name == "output.weight":
        # Special tokens and raw bytes get a logit of zero: the text stays readable and ends at max_tokens.
        for i in range(silent * shape[0]):
            values[i] = 0.0
    return values


def padding(length):
    return b"\0" * (-length % ALIGNMENT)


def main():
    args = argparse.ArgumentParser(description="Write a toy GGUF model with random weights.")
    args.add_argument("out")
    args.add_argument("--width", type=int, default=64)
    args.add_argument("--layers", type=int, default=2)
    args.add_argument("--seed", type=int, default=7)
    arg = args.parse_args()

    rng = random.Random(arg.seed)
    hidden = 2 * arg.width
    tokens, scores, silent = vocabulary()
    pairs = metadata(arg.width, arg.layers, hidden, tokens, scores)
    described, data, offset = [], [], 0
    for name, shape in tensors(arg.width, arg.layers, hidden, len(tokens)):
        raw = weights(rng, name, shape, silent).tobytes()
        dims = struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", n) for n in shape)
        described.append(string(name) + dims + struct.pack("<IQ", 0, offset))
        data.append(raw + padding(len(raw)))
        offset += len(data[-1])

    head = (
        b"GGUF" + struct.pack("<IQQ", 3, len(described), len(pairs)) + b"".join(pairs) + b"".join(described)
    )
    with open(arg.out, "wb") as out:
        out.write(head + padding(len(head)))
        out.writelines(data)


if __name__ == "__main__":
    main()
