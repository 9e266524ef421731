"""PyTorch's side of bench/runs/encoder-step.ts: features and pixel gradient of a frozen encoder."""

import time

import numpy
import torch
from models import MODELS, Normalized
from protocol import serve

state = {}


def load(name, size, threads, device="cpu", dtype="float32"):
    torch.set_num_threads(threads)
    # float32 on a GPU is exact, or rounded by its units for matrices.
    torch.set_float32_matmul_precision("high" if dtype == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = dtype == "tf32"
    torch.backends.cudnn.benchmark = True
    dtype = "float32" if dtype == "tf32" else dtype
    model = Normalized(name, size).to(device, getattr(torch, dtype))
    # The layout that PyTorch recommends for convolutions.
    state["layout"] = torch.channels_last if MODELS[name][1] else torch.contiguous_format
    model = model.to(memory_format=state["layout"])
    state.update(models={"eager": model}, model=model, device=device, size=size, dtype=getattr(torch, dtype))
    versions = {"torch": torch.__version__}
    if device != "cpu":
        versions["card"] = torch.cuda.get_device_name()
    return versions


def data(batch, images, cotangent):
    """Takes the images [batch, 3, size, size] and the features' cotangent from files of raw float32."""
    size = state["size"]
    read = lambda file: torch.from_numpy(numpy.fromfile(file, dtype=numpy.float32)).to(state["device"], state["dtype"])
    x = read(images)[: batch * 3 * size * size].view(batch, 3, size, size)
    state["images"] = x.contiguous(memory_format=state["layout"])
    state["cotangent"] = read(cotangent)
    torch.compiler.reset()
    state["models"] = {"eager": state["model"]}


def compile():
    """Compiles for the present batch: both the step and the features alone."""
    start = time.perf_counter()
    state["models"]["compiled"] = torch.compile(state["model"], dynamic=False)
    step("compiled")
    features("compiled")
    return time.perf_counter() - start


def features(variant):
    with torch.no_grad():
        return state["models"][variant](state["images"])


def step(variant):
    x = state["images"].detach().requires_grad_(True)
    value = state["models"][variant](x)
    (gradient,) = torch.autograd.grad(value, x, state["cotangent"].view_as(value))
    return value.detach(), gradient


def run(variant, mode):
    """Milliseconds of one run."""
    start = time.perf_counter()
    step(variant) if mode == "step" else features(variant)
    if state["device"] != "cpu":
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - start)


def save(features, gradient):
    """Writes both results of the eager model as raw float32."""
    value, pulled = step("eager")
    for tensor, file in ((value, features), (pulled, gradient)):
        tensor.float().cpu().contiguous().numpy().tofile(file)


def product(size, repeats, dtype="float32"):
    """Milliseconds of some products of two square matrices on the device."""
    a, b, result = (torch.rand(size, size, device=state["device"], dtype=getattr(torch, dtype)) for _ in range(3))
    torch.mm(a, b, out=result)
    if state["device"] != "cpu":
        torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        torch.mm(a, b, out=result)
    if state["device"] != "cpu":
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - start)


serve({"load": load, "data": data, "compile": compile, "run": run, "save": save, "product": product})
