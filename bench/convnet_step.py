"""The peer of convnet.mjs: the same ResNet-8 and the same SGD step in PyTorch eager.

Reads the initial parameters, the images and the labels that convnet.mjs wrote, then answers one JSON line per request
line on stdin: {"steps": n, "threads": t, "layout": "contiguous" | "channels last"} with the time of a step and losses.
Each layout trains a copy of its own.
"""
import json
import sys
import time

import numpy
import torch
import torch.nn.functional as F

folder = sys.argv[1]
spec = json.load(open(f"{folder}/spec.json"))


def read(name, dtype):
    return torch.from_numpy(numpy.fromfile(f"{folder}/{name}", dtype=dtype))


raw = read("parameters.f32", numpy.float32)
size = spec["imageSize"]
images = read("images.f32", numpy.float32).view(spec["batch"], 3, size, size)
labels = read("labels.i32", numpy.int32).long()


class Training:
    def __init__(self, memory_format):
        self.images = images.contiguous(memory_format=memory_format)
        self.parameters, at = {}, 0
        for name, shape in spec["leaves"]:
            count = numpy.prod(shape, dtype=int)
            value = raw[at : at + count].clone().view(shape)
            if len(shape) == 4:
                value = value.contiguous(memory_format=memory_format)
            self.parameters[name] = value.requires_grad_()
            at += count
        self.optimizer = torch.optim.SGD(
            self.parameters.values(), lr=spec["learningRate"], momentum=spec["momentum"]
        )

    def convolution_norm(self, name, x, stride):
        weight, scale, bias = (self.parameters[f"{name}.{part}"] for part in ("weight", "scale", "bias"))
        y = F.conv2d(x, weight, stride=stride, padding=(weight.shape[2] - 1) // 2)
        return F.batch_norm(y, None, None, scale, bias, training=True, eps=spec["epsilon"])

    def forward(self):
        x = F.relu(self.convolution_norm("stem", self.images, 1))
        for i in range(len(spec["stages"])):
            stride = 2 if i > 0 else 1
            inner = F.relu(self.convolution_norm(f"blocks.{i}.first", x, stride))
            shortcut = self.convolution_norm(f"blocks.{i}.shortcut", x, stride) if i > 0 else x
            x = F.relu(self.convolution_norm(f"blocks.{i}.second", inner, 1) + shortcut)
        logits = x.mean((2, 3)) @ self.parameters["head.weight"] + self.parameters["head.bias"]
        return F.cross_entropy(logits, labels)

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.forward()
        loss.backward()
        self.optimizer.step()
        return loss.item()


trainings = {
    "contiguous": Training(torch.contiguous_format),
    "channels last": Training(torch.channels_last),
}
print(json.dumps({"ready": True, "torch": torch.__version__}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    torch.set_num_threads(request["threads"])
    training = trainings[request["layout"]]
    started = time.perf_counter()
    losses = [training.step() for _ in range(request["steps"])]
    milliseconds = (time.perf_counter() - started) * 1000 / request["steps"]
    print(json.dumps({"ms": milliseconds, "losses": losses}), flush=True)
