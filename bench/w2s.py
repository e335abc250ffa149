"""The peer of w2s.mjs: track A of `w2sg` (Burns et al. 2023 on the factor world) in PyTorch eager.

The worlds and the directions of the tasks are those that w2s.mjs wrote; examples, initial weights and orders are drawn here.
Answers one JSON line per request line on stdin: {"worlds": n, "tasks": n, "processes": n} with the seconds it took and the
accuracies of all models, or {"pilot": true}. Processes share out pretrainings, then tasks; each computes with OMP_NUM_THREADS threads.

Linear probes of one size that learn from the same features are trained as one batch (bmm): that is faster than one after
another. Models that are finetuned whole are not: at 256 wide it brings nothing.
"""
import json
import math
import os
import sys
import time

import numpy
import torch
import torch.multiprocessing as multiprocessing
import torch.nn.functional as F

folder = sys.argv[1]
spec = json.load(open(f"{folder}/spec.json"))
sizes, widths, recipes = spec["sizes"], [rung["width"] for rung in spec["ladder"]], spec["recipes"]
threads = int(os.environ.get("OMP_NUM_THREADS", 1))


class World:
    def __init__(self, index):
        raw = torch.from_numpy(numpy.fromfile(f"{folder}/world{index}.f32", dtype=numpy.float32))
        self.parts, at = {}, 0
        for name, shape in spec["parts"]:
            count = math.prod(shape)
            self.parts[name] = raw[at : at + count].view(shape)
            at += count

    def draw(self, count):
        w, p = spec["world"], self.parts
        z = torch.randn(count, w["latentSize"])
        hidden = torch.sin(z @ p["A"] * w["sineFrequency"]) * w["sineScale"]
        x = torch.tanh(hidden @ p["Bm"]) * w["tanhScale"] @ p["Cm"]
        return z, x.add_(torch.randn_like(x), alpha=w["inputNoise"])

    def auxiliary(self, z):
        return torch.tanh((z @ self.parts["directions"] + self.parts["biases"]) * spec["world"]["auxiliaryGain"])


def linear(inputs, outputs, variance):
    return [torch.randn(inputs, outputs) * math.sqrt(variance / inputs), torch.zeros(outputs)]


def features(body, x):
    return F.relu(torch.addmm(body[3], F.relu(torch.addmm(body[1], x, body[0])), body[2]))


def train(parameters, loss_of, count, epochs, batchSize, learningRate, orders=1):
    """Adam with a cosine to 0. `loss_of(rows, progress)` is given the rows of a batch: `[batch]`, or `[orders, batch]`."""
    for p in parameters:
        p.requires_grad_()
    adam = torch.optim.Adam(parameters, lr=learningRate, foreach=len(parameters) > 1)
    batch = min(batchSize, count)
    per_epoch = count // batch
    total, step = per_epoch * epochs, 0
    for _ in range(epochs):
        order = torch.stack([torch.randperm(count)[: per_epoch * batch] for _ in range(orders)])
        for rows in (order[0] if orders == 1 else order).split(batch, -1):
            progress = step / total
            adam.param_groups[0]["lr"] = learningRate * 0.5 * (1 + math.cos(math.pi * progress))
            adam.zero_grad(set_to_none=True)
            loss_of(rows, progress).backward()
            adam.step()
            step += 1
    return [p.detach() for p in parameters]


def pretrain(world, width, samples, epochs):
    z, x = world.draw(samples)
    targets = world.auxiliary(z)
    parameters = linear(x.shape[1], width, 2) + linear(width, width, 2) + linear(width, targets.shape[1], 1)

    def loss_of(rows, _):
        return F.mse_loss(torch.addmm(parameters[5], features(parameters, x[rows]), parameters[4]), targets[rows])

    return train(parameters, loss_of, samples, epochs, **spec["pretraining"])[:4]


def weight_of(method, progress):
    """The weight of the student's own hardened predictions."""
    if method not in spec["confidence"]:
        return 0.0
    schedule, maximum, warmup = (spec["confidence"][method][key] for key in ("schedule", "maximum", "warmup"))
    if progress > warmup:
        return maximum
    return maximum * progress if schedule == "official-code" else maximum * progress / warmup


def harden(p, q):
    """Class 0 where p_0 is at least its quantile at the weak labels' mean of class 1. `[..., batch, 2]`"""
    first = p[..., 0]
    at = q[..., 1].mean(-1, keepdim=True) * (first.shape[-1] - 1)
    ascending, below = first.sort(-1)[0], at.floor()
    lower = below.long()
    upper = (lower + 1).clamp_(max=first.shape[-1] - 1)
    threshold = torch.lerp(ascending.gather(-1, lower), ascending.gather(-1, upper), at - below)
    is_first = (first >= threshold).float()
    return torch.stack([is_first, 1 - is_first], -1)


def target_of(method, logits, q, progress):
    if method == "product":
        return F.softmax(F.log_softmax(logits, -1) + q.clamp_min(1e-37).log(), -1)
    c = weight_of(method, progress)
    return torch.lerp(q, harden(F.softmax(logits, -1), q), c) if c > 0 else q


def finetune(body, x, targets, method="naive"):
    parameters = [p.clone() for p in body] + [torch.zeros(body[2].shape[1], 2)]

    def loss_of(rows, progress):
        logits, q = features(parameters, x[rows]) @ parameters[4], targets[rows]
        return F.cross_entropy(logits, target_of(method, logits.detach(), q, progress))

    trained = train(parameters, loss_of, len(x), **recipes["full-finetune"])
    return lambda inputs: F.softmax(features(trained, inputs) @ trained[4], -1)


def probes(known, targets, methods):
    """Probes of the same features `[n, width]` on labels `[labels, n, 2]`, each by every method: those of a label share their order."""
    labels, width = len(targets), known.shape[1]
    head, own = torch.zeros(labels * len(methods), width, 2), torch.arange(labels)[:, None]

    def loss_of(rows, progress):
        rows = rows.view(labels, -1)
        q = targets[own, rows]
        logits = torch.bmm(known[rows].repeat_interleave(len(methods), 0), head).view(labels, len(methods), -1, 2)
        each = logits.detach()
        goal = torch.stack([target_of(method, each[:, i], q, progress) for i, method in enumerate(methods)], 1)
        batch = rows.shape[1]
        return F.cross_entropy(logits.flatten(0, 2), goal.flatten(0, 2), reduction="sum") / batch

    train([head], loss_of, len(known), **recipes["linear-probe"], orders=labels)
    trained = head.detach().view(labels, len(methods), width, 2)
    return lambda inputs: F.softmax(inputs @ trained, -1)


def accuracy(p, truth):
    return (p.argmax(-1) == truth).float().mean().item()


def run_task(mode, truth, inputs, bodies, untrained):
    """The supervisors, the ceiling and all students of a task: the accuracies of each."""
    hot = {name: F.one_hot(labels, 2).float() for name, labels in truth.items()}
    methods, records = spec["methods"], []
    if mode == "linear-probe":
        seen = [{name: features(body, x) for name, x in inputs.items()} for body in [*bodies, untrained]]
        known, random = seen[-2], seen[-1]
        ceiling = probes(known["transfer"], hot["transfer"][None], ["naive"])(known["test"])[0, 0]
        weak = [(probes(own["supervision"], hot["supervision"][None], ["naive"]), own) for own in seen[:-2]]
        labels = [predict(own["transfer"])[0, 0] for predict, own in weak]
        tested = [predict(own["test"])[0, 0] for predict, own in weak]
        stacked = torch.stack(labels)
        students = probes(known["transfer"], stacked, methods)(known["test"])
        alone = [probes(own["transfer"], q[None], ["naive"])(own["test"])[0, 0] for q, (_, own) in zip(labels, weak)]
        fresh = probes(random["transfer"], stacked, ["naive"])(random["test"])[:, 0]
    else:
        transfer, test = inputs["transfer"], inputs["test"]
        ceiling = finetune(bodies[-1], transfer, hot["transfer"])(test)
        weak = [finetune(body, inputs["supervision"], hot["supervision"]) for body in bodies[:-1]]
        labels = [predict(transfer) for predict in weak]
        tested = [predict(test) for predict in weak]
        students = [[finetune(bodies[-1], transfer, q, method)(test) for method in methods] for q in labels]
        alone = [finetune(body, transfer, q)(test) for body, q in zip(bodies, labels)]
        fresh = [finetune(untrained, transfer, q)(test) for q in labels]
    measure = lambda p: accuracy(p, truth["test"])
    for i, width in enumerate(widths[:-1]):
        common = {"mode": mode, "weak": f"MLP {width}", "weakAccuracy": measure(tested[i]), "ceilingAccuracy": measure(ceiling)}
        everyone = [*zip(methods, students[i]), ("self-training", alone[i]), ("random init", fresh[i])]
        records += [{**common, "method": name, "studentAccuracy": measure(p)} for name, p in everyone]
    return records


def seeded(*path):
    torch.set_num_threads(threads)
    torch.manual_seed(hash(path))


def pretrained(index, rung):
    seeded(index, widths.index(rung["width"]))
    return pretrain(World(index), **rung)


def solved(index, task, bodies):
    """The records of a task. The examples and the model that is not pretrained are the same for all tasks of a world."""
    seeded(index)
    world = World(index)
    untrained = linear(spec["world"]["inputSize"], widths[-1], 2) + linear(widths[-1], widths[-1], 2)
    drawn = {name: world.draw(count) for name, count in sizes.items()}
    inputs = {name: x for name, (_, x) in drawn.items()}
    truth = {name: (z @ world.parts["tasks"][task] > 0).long() for name, (z, _) in drawn.items()}
    seeded(index, task)
    records = sum((run_task(mode, truth, inputs, bodies, untrained) for mode in spec["modes"]), [])
    return [{"world": index, "task": task, **record} for record in records]


def study(worlds, tasks, each):
    """`each` applies a function to a list of arguments. The longest trainings come first."""
    ladder = spec["ladder"][::-1]
    trained = each(pretrained, [(index, rung) for rung in ladder for index in range(worlds)])
    bodies = [trained[index::worlds][::-1] for index in range(worlds)]
    found = each(solved, [(index, task, bodies[index]) for index in range(worlds) for task in range(tasks)])
    return sum(found, [])


def pilot():
    """Milliseconds of a step in which the largest model is finetuned."""
    seeded(0)
    width, inputs = widths[-1], spec["world"]["inputSize"]
    recipe = recipes["full-finetune"]
    x, targets = torch.randn(20 * recipe["batchSize"], inputs), torch.rand(20 * recipe["batchSize"], 1)
    started = time.perf_counter()
    finetune(linear(inputs, width, 2) + linear(width, width, 2), x, torch.cat([1 - targets, targets], -1))
    return 1000 * (time.perf_counter() - started) / (20 * recipe["epochs"])


if __name__ == "__main__":
    print(json.dumps({"ready": True, "torch": torch.__version__, "threads": threads}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if request.get("pilot"):
            print(json.dumps({"ms": min(pilot() for _ in range(3))}), flush=True)
            continue
        started = time.perf_counter()
        if request["processes"] == 1:
            records = study(request["worlds"], request["tasks"], lambda fn, jobs: [fn(*job) for job in jobs])
        else:
            with multiprocessing.Pool(request["processes"]) as pool:
                each = lambda fn, jobs: pool.starmap(fn, jobs, chunksize=1)
                records = study(request["worlds"], request["tasks"], each)
        print(json.dumps({"seconds": time.perf_counter() - started, "records": records}), flush=True)
