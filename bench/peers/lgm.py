"""A step of linear gradient matching (LGM, arXiv 2511.16674), written from its description in the paper.

Parameters are a pyramid of levels; image = sigmoid(2 D(sum of the levels, bilinear)). A step draws a fresh head,
takes the gradient of the cross-entropy with respect to it on a real batch and on 10 augmented copies of the
synthetic images, and goes down the gradient of 1 - cos between the two: backward through the head's gradient and
through the encoder. The real batch's features are taken as cached, which spares this side the encoder's work on them.

`load` and `run` time steps on random features with every level in use, in one process (eager or compiled) or in one per
core, which share out the images and send their features to the first, as clp-dd's do; `load_real`, `advance` and `save` train
on the features of a file, levels and learning rate going by the share of the time that is spent.
"""

import math
import multiprocessing
import time

import numpy as np
import torch
import torch.nn.functional as F
from models import Normalized
from onnx_encoder import OnnxEncoder
from protocol import limit_memory, peak_bytes, private_bytes, serve

COLOR = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.0, -0.05], [0.27, -0.09, 0.03]])
COLOR = COLOR / COLOR.norm(dim=0).max()

state = {}


def load(name, size, m, classes, real, augmentations, threads, device="cpu", arrangement="eager"):
    if device == "cpu":
        limit_memory()
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    if device != "cpu":
        # Its units for matrices may round products in float32, as they do ONNX Runtime's.
        torch.set_float32_matmul_precision("high")
    encoder = Normalized(name, size).to(device)
    if arrangement == "processes":
        share_out(encoder, size, m, classes, augmentations, threads)
    sides = [2**k for k in range(20) if 2**k < size] + [size]
    levels = [(torch.randn(m, 3, s, s, device=device) / len(sides)).requires_grad_(True) for s in sides]
    d = encoder(torch.zeros(1, 3, size, size, device=device)).shape[1]
    state.update(
        encoder=encoder,
        size=size,
        levels=levels,
        optimizer=torch.optim.Adam(levels, lr=2e-3),
        labels=torch.arange(m, device=device) * classes // m,
        real=(torch.randn(real, d, device=device), torch.arange(real, device=device) % classes),
        classes=classes,
        augmentations=augmentations,
    )
    if arrangement == "compiled":
        state["encoder"] = torch.compile(encoder, dynamic=False)
    return {"torch": torch.__version__, "featureSize": d}


def share_out(encoder, size, m, classes, augmentations, threads):
    """Starts a process of one thread for each of `threads`, which has a part of the images; the encoder is inherited."""
    context = multiprocessing.get_context("fork")
    helpers = []
    for k in range(min(threads, m)):
        first, last = k * m // min(threads, m), (k + 1) * m // min(threads, m)
        ours, theirs = context.Pipe()
        part = (encoder, size, last - first, augmentations)
        context.Process(target=help_out, args=(theirs, *part), daemon=True).start()
        labels = torch.arange(first, last) * classes // m
        helpers.append((ours, labels.repeat(augmentations)))
    state["helpers"] = helpers


def help_out(pipe, encoder, size, count, augmentations):
    """Features of the copies of some images on request, then a step of Adam along the features' cotangent."""
    torch.set_num_threads(1)
    sides = [2**k for k in range(20) if 2**k < size] + [size]
    levels = [(torch.randn(count, 3, s, s) / len(sides)).requires_grad_(True) for s in sides]
    optimizer = torch.optim.Adam(levels, lr=2e-3)
    state.update(encoder=encoder, size=size, levels=levels)
    while True:
        question = pipe.recv()
        if question == "memory":
            pipe.send(private_bytes())
            continue
        images = render()
        features = encoder(torch.cat([augment(images) for _ in range(augmentations)]))
        pipe.send(features.detach().numpy())
        optimizer.zero_grad(set_to_none=True)
        features.backward(torch.from_numpy(pipe.recv()))
        optimizer.step()
        pipe.send("done")


def load_real(model, mean, std, size, features, labels, classes, batch, augmentations, threads, recipe):
    """`recipe`: lr, cosine, seconds, and either levelShare (of the seconds) or levelEvery (steps)."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    y = torch.from_numpy(np.fromfile(labels, np.int32)).long()
    state.update(
        encoder=OnnxEncoder(model, mean, std),
        size=size,
        levels=[],
        labels=torch.arange(classes),
        all=(torch.from_numpy(np.fromfile(features, np.float32)).view(len(y), -1), y),
        batch=batch,
        classes=classes,
        augmentations=augmentations,
        recipe=recipe,
        spent=0.0,
        steps=0,
    )
    add_level()


def add_level():
    """The next finer level from noise over the number of levels, the older ones scaled down, Adam anew."""
    levels, size = state["levels"], state["size"]
    sides = [2**k for k in range(20) if 2**k < size] + [size]
    if len(levels) == len(sides):
        return
    total, side = len(levels) + 1, sides[len(levels)]
    kept = [(level.detach() * len(levels) / total).requires_grad_(True) for level in levels]
    new = (torch.randn(len(state["labels"]), 3, side, side) / total).requires_grad_(True)
    state["levels"] = [*kept, new]
    state["optimizer"] = torch.optim.Adam(state["levels"], lr=state["recipe"]["lr"])


def advance(until):
    """Steps until their own seconds, together, are `until`."""
    recipe = state["recipe"]
    features, labels = state["all"]
    while state["spent"] < until:
        start = time.perf_counter()
        share = state["spent"] / recipe["seconds"]
        every = recipe.get("levelEvery")
        due = share / recipe["levelShare"] if every is None else state["steps"] / every
        if due >= len(state["levels"]):
            add_level()
        if recipe["cosine"]:
            state["optimizer"].param_groups[0]["lr"] = recipe["lr"] * (1 + math.cos(math.pi * share)) / 2
        drawn = torch.randint(len(labels), (state["batch"],))
        state["real"] = (features[drawn], labels[drawn])
        run()
        state["steps"] += 1
        state["spent"] += time.perf_counter() - start
    return {"steps": state["steps"], "seconds": state["spent"], "levels": len(state["levels"])}


def save(path):
    with torch.no_grad():
        render().numpy().tofile(path)


def render():
    size = state["size"]
    total = sum(F.interpolate(level, size=(size, size), mode="bilinear", align_corners=False) for level in state["levels"])
    return torch.sigmoid(2 * torch.einsum("ij,bjhw->bihw", COLOR.to(total.device), total))


def crop_of(size):
    """Random area and aspect within a square, as torchvision's RandomResizedCrop draws them."""
    for _ in range(10):
        area = size * size * torch.empty(()).uniform_(0.08, 1).item()
        ratio = math.exp(torch.empty(()).uniform_(math.log(3 / 4), math.log(4 / 3)).item())
        width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < width <= size and 0 < height <= size:
            top = torch.randint(0, size - height + 1, ()).item()
            left = torch.randint(0, size - width + 1, ()).item()
            return top, left, height, width
    return 0, 0, size, size


def augment(images):
    """Crop, flip and resize of each image as one sampling grid, then noise on half of them."""
    count, size = len(images), state["size"]
    theta = torch.zeros(count, 2, 3)
    for i in range(count):
        top, left, height, width = crop_of(size)
        flip = -1 if torch.rand(()) < 0.5 else 1
        theta[i, 0, 0], theta[i, 1, 1] = flip * width / size, height / size
        theta[i, 0, 2], theta[i, 1, 2] = (2 * left + width) / size - 1, (2 * top + height) / size - 1
    theta = theta.to(images.device)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    warped = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    noisy = (torch.rand(count, 1, 1, 1, device=images.device) < 0.5).float()
    return warped + noisy * (0.5 + 0.2 * torch.randn_like(warped))


def run(seconds=0):
    """Milliseconds of one step, of as many as the seconds take; then after one that does not count."""
    one = step_of_helpers if "helpers" in state else step
    if seconds > 0:
        one()
    start = time.perf_counter()
    steps = 0
    while steps == 0 or time.perf_counter() - start < seconds:
        one()
        steps += 1
    return 1000 * (time.perf_counter() - start) / steps


def step_of_helpers():
    helpers = state["helpers"]
    for pipe, _ in helpers:
        pipe.send("step")
    parts = [torch.from_numpy(pipe.recv()) for pipe, _ in helpers]
    values = torch.cat(parts).requires_grad_(True)
    (cotangent,) = torch.autograd.grad(distance(values, torch.cat([labels for _, labels in helpers])), values)
    for (pipe, _), own in zip(helpers, cotangent.split([len(part) for part in parts])):
        pipe.send(own.numpy())
    # Else the backward pass of the last step would run during the other side's turn.
    for pipe, _ in helpers:
        pipe.recv()


def distance(values, targets):
    """1 - cos of the gradients of a fresh head's cross-entropy, on the real features and on `values`."""
    features, labels = state["real"]
    W = (0.01 * torch.randn(features.shape[1], state["classes"], device=features.device)).requires_grad_(True)
    (real,) = torch.autograd.grad(F.cross_entropy(features @ W, labels), W)
    (synthetic,) = torch.autograd.grad(F.cross_entropy(values @ W, targets), W, create_graph=True)
    return 1 - F.cosine_similarity(real.flatten(), synthetic.flatten(), dim=0)


def step():
    images = render()
    copies = torch.cat([augment(images) for _ in range(state["augmentations"])])
    loss = distance(state["encoder"](copies), state["labels"].repeat(state["augmentations"]))
    state["optimizer"].zero_grad(set_to_none=True)
    loss.backward()
    state["optimizer"].step()
    if loss.is_cuda:
        torch.cuda.synchronize()


def memory():
    """The peak of this process, and what its helpers have by themselves."""
    total = peak_bytes()
    for pipe, _ in state.get("helpers", []):
        pipe.send("memory")
        total += pipe.recv()
    return {"peakMemoryBytes": total}


serve(
    {
        "load": load,
        "run": run,
        "memory": memory,
        "load_real": load_real,
        "advance": advance,
        "save": save,
    }
)
