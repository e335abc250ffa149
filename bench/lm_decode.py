"""The peer of lm-decode.mjs: greedy decoding of the same Llama in PyTorch eager, with a cache of keys and values.

Reads model.safetensors and spec.json that lm-decode.mjs wrote, then answers one JSON line per request line on stdin:
{"batch": n, "threads": t, "cache": "static" | "concatenated", "count": new tokens, or as in spec.json} with the time of prompts and new tokens together, the tokens
and the process's peak memory.
"""
import json
import struct
import sys
import time

import torch
import torch.nn.functional as F

folder = sys.argv[1]
spec = json.load(open(f"{folder}/spec.json"))
config = spec["config"]
prompts = torch.tensor(spec["prompts"])
heads, kv_heads, size = config["heads"], config["keyValueHeads"], config["headSize"]
layers, epsilon, total = config["layers"], config["normEpsilon"], config["contextLength"]


def load(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = bytearray(file.read())
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        values = torch.frombuffer(data, dtype=torch.float32, offset=start, count=(end - start) // 4)
        tensors[name] = values.view(entry["shape"]).clone()
    return tensors


p = load(f"{folder}/model.safetensors")
# As torch.nn.Linear keeps them: [outputs, inputs].
w = {name: tensor.t().contiguous() for name, tensor in p.items() if name.endswith(".weight")}
frequencies = config["positions"]["rotaryBase"] ** (-2 * torch.arange(size // 2) / size)
angles = torch.arange(total)[:, None] * frequencies
cos, sin = torch.cat([angles.cos()] * 2, -1), torch.cat([angles.sin()] * 2, -1)


def norm(x, scale):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon) * scale


def rotate(x, c, s):
    first, second = x.chunk(2, -1)
    return x * c + torch.cat((-second, first), -1) * s


class Static:
    """Keys and values in tensors that have room for all tokens."""

    def __init__(self, batch):
        self.kept = [[torch.zeros(batch, kv_heads, total, size) for _ in range(2)] for _ in range(layers)]

    def append(self, layer, start, k, v):
        end = start + k.shape[2]
        for kept, new in zip(self.kept[layer], (k, v)):
            kept[:, :, start:end] = new
        return [kept[:, :, :end] for kept in self.kept[layer]]


class Concatenated:
    def __init__(self, batch):
        self.kept = [None] * layers

    def append(self, layer, start, k, v):
        old = self.kept[layer]
        self.kept[layer] = (k, v) if old is None else (torch.cat((old[0], k), 2), torch.cat((old[1], v), 2))
        return self.kept[layer]


def forward(tokens, start, cache):
    batch, count = tokens.shape
    x = F.embedding(tokens, p["tokens"])
    c, s = cos[start : start + count], sin[start : start + count]
    bias = torch.full((count, count), -1e9).triu(1) if count > 1 else None
    for i in range(layers):
        b = f"blocks.{i}"
        y = norm(x, p[f"{b}.norm1.scale"])
        split = lambda name: F.linear(y, w[f"{b}.{name}.weight"]).view(batch, count, -1, size).transpose(1, 2)
        q, k, v = rotate(split("queries"), c, s), rotate(split("keys"), c, s), split("values")
        k, v = cache.append(i, start, k, v)
        if heads != kv_heads:
            k, v = (t.repeat_interleave(heads // kv_heads, 1) for t in (k, v))
        scores = torch.matmul(q, k.transpose(-2, -1)) * (1 / size**0.5)
        if bias is not None:
            scores = scores + bias
        mixed = torch.matmul(F.softmax(scores, -1), v).transpose(1, 2).reshape(batch, count, -1)
        x = x + F.linear(mixed, w[f"{b}.out.weight"])
        y = norm(x, p[f"{b}.norm2.scale"])
        inner = F.silu(F.linear(y, w[f"{b}.gate.weight"])) * F.linear(y, w[f"{b}.up.weight"])
        x = x + F.linear(inner, w[f"{b}.down.weight"])
    return F.linear(norm(x[:, -1], p["norm.scale"]), p["tokens"])


@torch.inference_mode()
def generate(tokens, count, make):
    cache = make(tokens.shape[0])
    new, length = [], tokens.shape[1]
    logits = forward(tokens, 0, cache)
    for i in range(count):
        new.append(logits.argmax(-1))
        if i + 1 < count:
            logits = forward(new[-1][:, None], length + i, cache)
    return torch.stack(new, 1)


def peak_megabytes():
    try:
        status = open("/proc/self/status").read()
    except OSError:
        return None
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


print(json.dumps({"ready": True, "torch": torch.__version__}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    torch.set_num_threads(request["threads"])
    make = {"static": Static, "concatenated": Concatenated}[request["cache"]]
    started = time.perf_counter()
    tokens = generate(prompts[: request["batch"]], request.get("count", spec["count"]), make)
    ms = (time.perf_counter() - started) * 1000
    print(json.dumps({"ms": ms, "tokens": tokens.tolist(), "megabytes": peak_megabytes()}), flush=True)
