"""Logits of models in Hugging Face's layout, computed in plain PyTorch in double precision.

Reads from stdin a JSON list of {"folder": path, "tokens": [ids]} and prints a JSON list of the logits of each as lists
[time][vocabulary]. Written after the papers and the definition of the file formats, to be compared with.
"""
import json
import math
import struct
import sys

import numpy
import torch
import torch.nn.functional as F


def read_file(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = file.read()
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, end = entry["data_offsets"]
        raw = data[start:end]
        if entry["dtype"] == "BF16":
            values = (numpy.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
        else:
            values = numpy.frombuffer(raw, {"F32": "<f4", "F16": "<f2"}[entry["dtype"]])
        tensors[name] = torch.from_numpy(values.astype("f8")).reshape(entry["shape"])
    return tensors


def read_weights(folder):
    try:
        index = json.load(open(f"{folder}/model.safetensors.index.json"))
    except FileNotFoundError:
        return read_file(f"{folder}/model.safetensors")
    tensors = {}
    for name in set(index["weight_map"].values()):
        tensors.update(read_file(f"{folder}/{name}"))
    return tensors


def attend(q, k, v, window=None):
    """[heads, time, size] each; every head of keys serves several of queries."""
    repeat = q.shape[0] // k.shape[0]
    k, v = (x.repeat_interleave(repeat, 0) for x in (k, v))
    time = q.shape[1]
    behind = torch.arange(time)[:, None] - torch.arange(time)[None, :]
    hidden = (behind < 0) if window is None else (behind < 0) | (behind >= window)
    scores = (q @ k.transpose(1, 2) / math.sqrt(q.shape[2])).masked_fill(hidden, float("-inf"))
    return F.softmax(scores, -1) @ v


def gpt2(config, weights, tokens):
    heads, eps = config["n_head"], config["layer_norm_epsilon"]
    get = lambda name: weights[f"transformer.{name}"]
    norm = lambda x, name: F.layer_norm(x, x.shape[-1:], get(f"{name}.weight"), get(f"{name}.bias"), eps)
    conv = lambda x, name: x @ get(f"{name}.weight") + get(f"{name}.bias")

    def act(x):
        if config["activation_function"] == "gelu":
            return F.gelu(x)
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    x = get("wte.weight")[tokens] + get("wpe.weight")[: len(tokens)]
    split = lambda y: y.reshape(len(tokens), heads, -1).transpose(0, 1)
    for i in range(config["n_layer"]):
        q, k, v = conv(norm(x, f"h.{i}.ln_1"), f"h.{i}.attn.c_attn").chunk(3, -1)
        mixed = attend(split(q), split(k), split(v)).transpose(0, 1).reshape(len(tokens), -1)
        x = x + conv(mixed, f"h.{i}.attn.c_proj")
        x = x + conv(act(conv(norm(x, f"h.{i}.ln_2"), f"h.{i}.mlp.c_fc")), f"h.{i}.mlp.c_proj")
    head = get("wte.weight") if config["tie_word_embeddings"] else weights["lm_head.weight"]
    return norm(x, "ln_f") @ head.T


def frequencies(config, size):
    result = 1 / config["rope_theta"] ** (torch.arange(0, size, 2, dtype=torch.float64) / size)
    scaling = config.get("rope_scaling")
    if scaling is None:
        return result
    assert scaling["rope_type"] == "llama3"
    context, low, high = (scaling[key] for key in ("original_max_position_embeddings", "low_freq_factor", "high_freq_factor"))
    scaled = []
    for frequency in result.tolist():
        wavelength = 2 * math.pi / frequency
        if wavelength < context / high:
            scaled.append(frequency)
        elif wavelength > context / low:
            scaled.append(frequency / scaling["factor"])
        else:
            smooth = (context / wavelength - low) / (high - low)
            scaled.append((1 - smooth) * frequency / scaling["factor"] + smooth * frequency)
    return torch.tensor(scaled, dtype=torch.float64)


def llama(config, weights, tokens):
    size, eps = config["head_dim"], config["rms_norm_eps"]
    window = config.get("sliding_window") if config.get("use_sliding_window", True) else None
    get = lambda name: weights[f"model.{name}"]

    def norm(x, name):
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * get(f"{name}.weight")

    def linear(x, name):
        return F.linear(x, get(f"{name}.weight"), weights.get(f"model.{name}.bias"))

    angles = torch.arange(len(tokens), dtype=torch.float64)[:, None] * frequencies(config, size)
    cos, sin = (f(torch.cat([angles, angles], -1)) for f in (torch.cos, torch.sin))

    def rotate(x):
        half = torch.cat([-x[..., size // 2 :], x[..., : size // 2]], -1)
        return x * cos + half * sin

    x = get("embed_tokens.weight")[tokens]
    split = lambda y: y.reshape(len(tokens), -1, size).transpose(0, 1)
    for i in range(config["num_hidden_layers"]):
        at = f"layers.{i}.self_attn"
        y = norm(x, f"layers.{i}.input_layernorm")
        q, k, v = (split(linear(y, f"{at}.{part}_proj")) for part in "qkv")
        if config["model_type"] == "qwen3":
            q, k = norm(q, f"{at}.q_norm"), norm(k, f"{at}.k_norm")
        mixed = attend(rotate(q), rotate(k), v, window).transpose(0, 1).reshape(len(tokens), -1)
        x = x + linear(mixed, f"{at}.o_proj")
        y = norm(x, f"layers.{i}.post_attention_layernorm")
        at = f"layers.{i}.mlp"
        x = x + linear(F.silu(linear(y, f"{at}.gate_proj")) * linear(y, f"{at}.up_proj"), f"{at}.down_proj")
    head = get("embed_tokens.weight") if config["tie_word_embeddings"] else weights["lm_head.weight"]
    return norm(x, "norm") @ head.T


torch.set_num_threads(1)
answers = []
for request in json.load(sys.stdin):
    config = json.load(open(f"{request['folder']}/config.json"))
    model = gpt2 if config["model_type"] == "gpt2" else llama
    answers.append(model(config, read_weights(request["folder"]), torch.tensor(request["tokens"])).tolist())
json.dump(answers, sys.stdout)
