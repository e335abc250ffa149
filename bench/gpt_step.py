"""The peer of train-step.mjs: the same GPT and the same AdamW step in PyTorch eager.

Reads the initial parameters (safetensors-like: JSON header line, then float32 bytes) and the tokens that
train-step.mjs wrote, then answers one JSON line per request line on stdin: {"steps": n, "threads": t} with the time
of a step and the process's peak memory, {"matmul": size, "threads": t} with the best rate of a float32 matrix product.
"""
import json
import sys
import time

import numpy
import torch
import torch.nn.functional as F

folder = sys.argv[1]
spec = json.load(open(f"{folder}/spec.json"))
config = spec["config"]
raw = torch.from_numpy(numpy.fromfile(f"{folder}/parameters.f32", dtype=numpy.float32))
tokens = torch.from_numpy(numpy.fromfile(f"{folder}/tokens.i32", dtype=numpy.int32)).long()
tokens = tokens.view(spec["batch"], config["contextLength"] + 1)
inputs, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()


def load():
    parameters, at = {}, 0
    for name, shape in spec["leaves"]:
        size = numpy.prod(shape, dtype=int)
        parameters[name] = raw[at : at + size].clone().view(shape).requires_grad_()
        at += size
    return parameters


def forward(p):
    time_, heads, width = config["contextLength"], config["heads"], config["width"]
    size = width // heads
    x = p["tokens"][inputs] + p["positions"]
    bias = (torch.tril(torch.ones(time_, time_)) - 1) * 1e9
    norm = lambda name, y: F.layer_norm(y, (width,), p[f"{name}.scale"], p[f"{name}.bias"], 1e-5)
    linear = lambda name, y: torch.matmul(y, p[f"{name}.weight"]) + p[f"{name}.bias"]
    for i in range(config["layers"]):
        b = f"blocks.{i}"
        y = norm(f"{b}.norm1", x)
        q, k, v = (linear(f"{b}.{t}", y).view(-1, time_, heads, size).transpose(1, 2) for t in ("queries", "keys", "values"))
        scores = torch.matmul(q, k.transpose(-2, -1)) * (1 / size**0.5) + bias
        mixed = torch.matmul(F.softmax(scores, dim=-1), v).transpose(1, 2).reshape(-1, time_, width)
        x = x + linear(f"{b}.out", mixed)
        x = x + linear(f"{b}.down", F.gelu(linear(f"{b}.up", norm(f"{b}.norm2", x))))
    logits = torch.matmul(norm("norm", x), p["tokens"].t())
    return F.cross_entropy(logits.reshape(-1, config["vocabularySize"]), targets.reshape(-1))


def optimizer(parameters):
    return torch.optim.AdamW(parameters.values(), lr=spec["learningRate"], weight_decay=spec["weightDecay"])


def peak_megabytes():
    try:
        status = open("/proc/self/status").read()
    except OSError:
        return None
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


parameters = load()
adamw = optimizer(parameters)
print(json.dumps({"ready": True, "torch": torch.__version__}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    torch.set_num_threads(request["threads"])
    if "matmul" in request:
        size, best = request["matmul"], float("inf")
        a, b, out = (torch.rand(size, size) for _ in range(3))
        for _ in range(10):
            started = time.perf_counter()
            torch.mm(a, b, out=out)
            best = min(best, time.perf_counter() - started)
        print(json.dumps({"gflops": 2 * size**3 / best / 1e9}), flush=True)
        continue
    losses, started = [], time.perf_counter()
    for _ in range(request["steps"]):
        adamw.zero_grad(set_to_none=True)
        loss = forward(parameters)
        loss.backward()
        adamw.step()
        losses.append(loss.item())
    ms = (time.perf_counter() - started) * 1000 / request["steps"]
    print(json.dumps({"ms": ms, "losses": losses, "megabytes": peak_megabytes()}), flush=True)
