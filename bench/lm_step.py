"""The peer of lm-train.mjs: the same Llama-form model on the same packed rows, and the same AdamW step, in PyTorch eager.

Reads the initial parameters and the packed rows that lm-train.mjs wrote, then answers one JSON line per request line on stdin:
{"steps": n, "threads": t, "first": step} with the time of a step and the losses of n steps on the rows of each.
"""
import json
import sys
import time

import numpy
import torch
import torch.nn.functional as F

folder = sys.argv[1]
spec = json.load(open(f"{folder}/spec.json"))
config, batch = spec["config"], spec["batch"]
raw = torch.from_numpy(numpy.fromfile(f"{folder}/parameters.f32", dtype=numpy.float32))
column = lambda name, kind: torch.from_numpy(numpy.fromfile(f"{folder}/{name}", dtype=kind)).view(-1, config["contextLength"])
rows = {name: column(name, numpy.int32).long() for name in ("tokens", "next", "segments")}
rows["weights"] = column("weights", numpy.float32)
heads, keys, size = config["heads"], config["keyValueHeads"], config["headSize"]
length = config["contextLength"]
angles = torch.arange(length)[:, None] * config["positions"]["rotaryBase"] ** (-2 * torch.arange(size // 2) / size)
cos, sin = angles.cos(), angles.sin()
causal = torch.tril(torch.ones(length, length, dtype=torch.bool))


def load():
    parameters, at = {}, 0
    for name, shape in spec["leaves"]:
        count = numpy.prod(shape, dtype=int)
        parameters[name] = raw[at : at + count].clone().view(shape).requires_grad_()
        at += count
    return parameters


def norm(scale, x):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + config["normEpsilon"]) * scale


def rotate(x):
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


def loss_of(p, part):
    x = F.embedding(part["tokens"], p["tokens"])
    segments = part["segments"]
    seen = causal & (segments[:, :, None] == segments[:, None, :])
    bias = torch.zeros(seen.shape).masked_fill_(~seen, float("-inf"))[:, None]
    for i in range(config["layers"]):
        b = f"blocks.{i}"
        y = norm(p[f"{b}.norm1.scale"], x)
        split = lambda name, count: (y @ p[f"{b}.{name}.weight"]).view(batch, length, count, size).transpose(1, 2)
        q, k, v = rotate(split("queries", heads)), rotate(split("keys", keys)), split("values", keys)
        if keys < heads:
            k, v = (t.repeat_interleave(heads // keys, 1) for t in (k, v))
        scores = q @ k.transpose(-2, -1) * (1 / size**0.5) + bias
        mixed = (F.softmax(scores, -1) @ v).transpose(1, 2).reshape(batch, length, -1)
        x = x + mixed @ p[f"{b}.out.weight"]
        y = norm(p[f"{b}.norm2.scale"], x)
        x = x + (F.silu(y @ p[f"{b}.gate.weight"]) * (y @ p[f"{b}.up.weight"])) @ p[f"{b}.down.weight"]
    logits = norm(p["norm.scale"], x) @ p["tokens"].t()
    losses = F.cross_entropy(logits.view(-1, config["vocabularySize"]), part["next"].view(-1), reduction="none")
    weights = part["weights"].view(-1)
    return (losses * weights).sum() / weights.sum()


parameters = load()
adamw = torch.optim.AdamW(
    parameters.values(), lr=spec["learningRate"], betas=(0.9, 0.95), eps=1e-8, weight_decay=spec["weightDecay"]
)
order = torch.tensor(spec["order"]).view(-1, batch)
print(json.dumps({"ready": True, "torch": torch.__version__}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    torch.set_num_threads(request["threads"])
    losses, started = [], time.perf_counter()
    for step in range(request["first"], request["first"] + request["steps"]):
        chosen = order[step % len(order)]
        adamw.zero_grad(set_to_none=True)
        loss = loss_of(parameters, {name: values[chosen] for name, values in rows.items()})
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters.values(), 1)
        adamw.step()
        losses.append(loss.item())
    ms = (time.perf_counter() - started) * 1000 / request["steps"]
    print(json.dumps({"ms": ms, "losses": losses}), flush=True)
