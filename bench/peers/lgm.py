"""A step of linear gradient matching (LGM, arXiv 2511.16674), written from its description in the paper.

Parameters are a pyramid of levels; image = sigmoid(2 D(sum of the levels, bilinear)). A step draws a fresh head,
takes the gradient of the cross-entropy with respect to it on a real batch and on 10 augmented copies of the
synthetic images, and goes down the gradient of 1 - cos between the two: backward through the head's gradient and
through the encoder. The real batch's features are taken as cached, which spares this side the encoder's work on them.
"""

import math
import time

import torch
import torch.nn.functional as F
from models import Normalized
from protocol import peak_bytes, serve

COLOR = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.0, -0.05], [0.27, -0.09, 0.03]])
COLOR = COLOR / COLOR.norm(dim=0).max()

state = {}


def load(name, size, m, classes, real, augmentations, threads):
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    encoder = Normalized(name, size)
    sides = [2**k for k in range(20) if 2**k < size] + [size]
    levels = [(torch.randn(m, 3, s, s) / len(sides)).requires_grad_(True) for s in sides]
    d = encoder(torch.zeros(1, 3, size, size)).shape[1]
    state.update(
        encoder=encoder,
        size=size,
        levels=levels,
        optimizer=torch.optim.Adam(levels, lr=2e-3),
        labels=torch.arange(m) * classes // m,
        real=(torch.randn(real, d), torch.arange(real) % classes),
        classes=classes,
        augmentations=augmentations,
    )
    return {"torch": torch.__version__, "featureSize": d}


def render():
    size = state["size"]
    total = sum(F.interpolate(level, size=(size, size), mode="bilinear", align_corners=False) for level in state["levels"])
    return torch.sigmoid(2 * torch.einsum("ij,bjhw->bihw", COLOR, total))


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
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    warped = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    noisy = (torch.rand(count, 1, 1, 1) < 0.5).float()
    return warped + noisy * (0.5 + 0.2 * torch.randn_like(warped))


def run():
    """Milliseconds of one step."""
    start = time.perf_counter()
    features, labels = state["real"]
    W = (0.01 * torch.randn(features.shape[1], state["classes"])).requires_grad_(True)
    (real,) = torch.autograd.grad(F.cross_entropy(features @ W, labels), W)
    images = render()
    copies = torch.cat([augment(images) for _ in range(state["augmentations"])])
    scores = state["encoder"](copies) @ W
    loss = F.cross_entropy(scores, state["labels"].repeat(state["augmentations"]))
    (synthetic,) = torch.autograd.grad(loss, W, create_graph=True)
    distance = 1 - F.cosine_similarity(real.flatten(), synthetic.flatten(), dim=0)
    state["optimizer"].zero_grad(set_to_none=True)
    distance.backward()
    state["optimizer"].step()
    return 1000 * (time.perf_counter() - start)


serve({"load": load, "run": run, "memory": lambda: {"peakMemoryBytes": peak_bytes()}})
