"""Makes test/fixtures/head/adam.json: a linear head trained by PyTorch, whole-batch, in float64.

Run: python tools/make_head_fixtures.py   (needs torch)

The head starts at the weight and bias given, and is trained by torch.optim.Adam under
torch.optim.lr_scheduler.CosineAnnealingLR, one step an epoch, as method LGM evaluates. Features are multiples of
1/64, so that float32 holds them exactly. Weight is written class by class as in torch.nn.Linear: C x d.
"""

import json
import pathlib

import torch

OUT = pathlib.Path(__file__).resolve().parent.parent / "test" / "fixtures" / "head" / "adam.json"
torch.manual_seed(3)
torch.set_default_dtype(torch.float64)

n, d, classes, epochs = 12, 7, 4, 60
features = torch.round(torch.randn(n, d) * 64) / 64
labels = torch.arange(n) % classes
weight = torch.round(torch.randn(classes, d) * 1000) / 1e5
bias = torch.round(torch.randn(classes) * 1000) / 1e5


def train(learning_rate):
    head = torch.nn.Linear(d, classes)
    with torch.no_grad():
        head.weight.copy_(weight)
        head.bias.copy_(bias)
    optimizer = torch.optim.Adam(head.parameters(), lr=learning_rate, weight_decay=0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs, eta_min=0)
    losses = []
    for _ in range(epochs):
        loss = torch.nn.functional.cross_entropy(head(features), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return {
        "learningRate": learning_rate,
        "losses": losses,
        "weight": head.weight.detach().tolist(),
        "bias": head.bias.detach().tolist(),
    }


OUT.parent.mkdir(parents=True, exist_ok=True)
fixture = {
    "torch": torch.__version__,
    "epochs": epochs,
    "features": features.tolist(),
    "labels": labels.tolist(),
    "weight": weight.tolist(),
    "bias": bias.tolist(),
    "trained": [train(0.05), train(0.001)],
}
OUT.write_text(json.dumps(fixture) + "\n")
print(OUT, OUT.stat().st_size, "bytes")
