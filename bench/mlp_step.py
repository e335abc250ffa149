"""The peer of mlp.mjs: the same MLP, batches and Adam step in PyTorch eager.

Reads what mlp.mjs wrote into the folder, then answers one JSON line per request line on stdin:
{"model": name, "steps": n, "threads": t, "foreach": bool} with the time of a step and the losses of a training from the
initial parameters.
"""
import json
import sys
import time

import numpy
import torch
import torch.nn.functional as F

folder = sys.argv[1]
spec = json.load(open(f"{folder}/spec.json"))
batch = spec["batch"]
floats = lambda name: torch.from_numpy(numpy.fromfile(f"{folder}/{name}", dtype=numpy.float32))
inputs = floats("inputs.f32").view(-1, batch, spec["inputSize"]).unbind()
labels = torch.from_numpy(numpy.fromfile(f"{folder}/labels.i32", dtype=numpy.int32)).long().view(-1, batch).unbind()


def load(model):
    raw, parameters, at = floats(f"{model}.f32"), [], 0
    for _, shape in spec["models"][model]:
        size = numpy.prod(shape, dtype=int)
        parameters.append(raw[at : at + size].clone().view(shape).requires_grad_())
        at += size
    return parameters


def forward(parameters, x):
    layers = list(zip(parameters[0::2], parameters[1::2]))
    for i, (weight, bias) in enumerate(layers):
        x = torch.addmm(bias, x, weight)
        if i < len(layers) - 1:
            x = F.relu(x)
    return x


print(json.dumps({"ready": True, "torch": torch.__version__}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    torch.set_num_threads(request["threads"])
    parameters = load(request["model"])
    adam = torch.optim.Adam(parameters, lr=spec["learningRate"], foreach=request["foreach"])
    losses, started = [], time.perf_counter()
    for step in range(request["steps"]):
        adam.zero_grad(set_to_none=True)
        loss = F.cross_entropy(forward(parameters, inputs[step % len(inputs)]), labels[step % len(labels)])
        loss.backward()
        adam.step()
        losses.append(loss.detach())
    ms = (time.perf_counter() - started) * 1000 / request["steps"]
    print(json.dumps({"ms": ms, "losses": torch.stack(losses).tolist()}), flush=True)
