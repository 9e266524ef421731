"""Makes test/fixtures/models: small random networks as ONNX, with features and pixel gradients from PyTorch.

Run: python tools/make_model_fixtures.py [NAME ...]        (needs tools/requirements.txt; names as in fixture_models.py)

For each network of fixture_models.py and each exporter a folder FAMILY-EXPORTEROPSET with
  model.onnx           as exported, less stack traces and other notes
  tensors.safetensors  input [n, 3, h, w], features, cotangent (both of the feature's shape), and
                       pixel_gradient [n, 3, h, w] = (∂features/∂input)ᵀ cotangent
  meta.json            name, family, exporter, opset, input, feature (tensor names), inputShape, featureShape,
                       dynamicAxes, ops, float32 (how far PyTorch's own float32 is from the float64 reference),
                       versions
Features and gradient are computed in float64 and rounded to float32. Weights are scaled to keep activations near
one; batch norms get running statistics near those of the input, off by random amounts. Seeds whose gradient jumps
under a perturbation of 1e-6 (an activation next to a kink) are passed over, so that float32 can be held to the reference.
"""

import argparse
import collections
import copy
import json
import pathlib
import re
import shutil
import unittest.mock
import warnings

import numpy as np
import onnx
import onnxruntime
import safetensors.numpy
import timm
import torch
import torchvision
import transformers
from fixture_models import FAMILIES
from torch import nn

OUT = pathlib.Path(__file__).resolve().parent.parent / "test" / "fixtures" / "models"

# Exporter and opset; "+bn" keeps batch normalizations as nodes, "+size" leaves height and width open, "+eager" has
# timm write attention as matrix products, "+ort" is the file as ONNX Runtime rewrites it (its own fused operators).
USUAL = ["torchscript17", "dynamo18"]
EXPORTS = {
    "resnet-basic": ["torchscript11", "torchscript17+bn", "torchscript17+ort", "dynamo20"],
    "resnet-bottleneck": ["torchscript17+bn", "dynamo18"],
    "mobilenet-v2": ["torchscript17", "dynamo18+bn"],
    "mobilenet-v3": ["torchscript13+bn", "dynamo18"],
    "efficientnet": ["torchscript12", "dynamo20"],
    "efficientnet-v2": ["torchscript17+bn"],
    "regnet-y": ["torchscript17+bn", "dynamo18"],
    "convnext": ["torchscript17", "dynamo23"],
    "vit": ["torchscript11+eager", "torchscript17+ort", "dynamo18", "dynamo23"],
    "torchvision-vit": ["torchscript17", "dynamo20"],
    "vit-relpos": ["torchscript17", "dynamo23"],
    "eva02": ["torchscript17+eager", "dynamo23"],
    "clip": ["torchscript17", "torchscript17+ort", "dynamo23"],
    "siglip": ["torchscript17", "dynamo20"],
    "dinov2": ["torchscript17+size", "dynamo20+size", "dynamo20"],
    "patchwork": ["torchscript16", "dynamo18"],
    "modern": ["dynamo23"],
}
# Models that keep their classifier; the feature is what the classifier's matrix product reads.
WITH_CLASSIFIER = {"resnet-basic"}


def randomise(network, generator):
    """Random values for every parameter, of a size that keeps activations near one."""

    def normal(p, std):
        p.copy_(torch.randn(p.shape, generator=generator) * std)

    def uniform(p, low, high):
        p.copy_(torch.rand(p.shape, generator=generator) * (high - low) + low)

    with torch.no_grad():
        for module in network.modules():
            for name, p in module.named_parameters(recurse=False):
                if name.endswith("bias") and p.dim() == 1:
                    normal(p, 0.2)
                elif name == "logit_scale":
                    uniform(p, 0.5, 1.5)
                elif re.search(r"pos|token|class_emb|table|probe", name) or isinstance(module, nn.Embedding):
                    normal(p, 0.5)
                elif re.search(r"scale|gamma|lambda", name) or p.dim() < 2:
                    uniform(p, 0.5, 1.5)
                elif isinstance(module, nn.ConvTranspose2d):
                    normal(p, 1.2 * (p.shape[1] * np.prod(module.stride) / p[0].numel() / p.shape[0] * module.groups) ** 0.5)
                else:
                    normal(p, 1.2 * (p.shape[0] / p.numel()) ** 0.5)


def calibrate(network, x, generator):
    """Sets the running statistics of each batch norm to those of its input times random factors."""

    def measure(norm, inputs):
        axes = [axis for axis in range(inputs[0].dim()) if axis != 1]
        mean, var = inputs[0].mean(axes), inputs[0].var(axes, correction=0)
        norm.running_mean.copy_(mean + 0.4 * var.sqrt() * torch.randn(mean.shape, generator=generator))
        norm.running_var.copy_((var + 1e-2) * (0.5 + 1.5 * torch.rand(var.shape, generator=generator)))

    norms = [m for m in network.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    handles = [norm.register_forward_pre_hook(measure) for norm in norms]
    with torch.no_grad():
        network(x)
    for handle in handles:
        handle.remove()


def feature_of(network, x, family):
    if family not in WITH_CLASSIFIER:
        return network(x)
    kept = []
    handle = network.fc.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
    network(x)
    handle.remove()
    return kept[0]


def plain_batch_norm(x, mean, var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    """Batch normalization in evaluation mode, as arithmetic.

    PyTorch 2.15's own has a wrong gradient on the CPU where the cotangent is transposed or expanded: finite differences
    differ.
    """
    assert not training
    shape = (1, -1, *([1] * (x.dim() - 2)))
    y = (x - mean.reshape(shape)) / (var.reshape(shape) + eps).sqrt()
    y = y if weight is None else y * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


def gradient(network, x, cotangent, family):
    """Features and the pullback of the cotangent, in the precision of the network."""
    x = x.clone().requires_grad_(True)
    with unittest.mock.patch("torch.nn.functional.batch_norm", plain_batch_norm):
        features = feature_of(network, x, family)
        (pulled,) = torch.autograd.grad(features, x, cotangent)
    return features.detach(), pulled


def relative(got, want):
    return ((got.double() - want).abs().max() / want.abs().max()).item()


def jumps(network, x, cotangent, want, family, generator):
    """How far the float64 gradient moves when input and weights move by 1e-6 of themselves."""
    worst = 0
    for _ in range(3):
        moved = copy.deepcopy(network)
        with torch.no_grad():
            for p in moved.parameters():
                p.mul_(1 + 1e-6 * torch.randn(p.shape, generator=generator, dtype=p.dtype))
        noise = 1 + 1e-6 * torch.randn(x.shape, generator=generator, dtype=x.dtype)
        worst = max(worst, relative(gradient(moved, x * noise, cotangent, family)[1], want))
    return worst


def references(family):
    """The network and its tensors, from the first seed that stays clear of kinks."""
    for seed in range(40):
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        network, shape = FAMILIES[family]()
        network.eval().requires_grad_(False)
        randomise(network, generator)
        x = torch.randn(shape, generator=generator)
        calibrate(network, x, generator)
        exact = copy.deepcopy(network).double()
        cotangent = torch.randn(feature_of(network, x, family).shape, generator=generator)
        features, pulled = gradient(exact, x.double(), cotangent.double(), family)
        if jumps(exact, x.double(), cotangent.double(), pulled, family, generator) > 1e-4:
            continue
        features32, pulled32 = gradient(network, x, cotangent, family)
        float32 = {"features": relative(features32, features), "gradient": relative(pulled32, pulled)}
        if max(float32.values()) < 5e-6:
            size = f"feature RMS {features.square().mean().sqrt():.2g}, gradient RMS {pulled.square().mean().sqrt():.2g}"
            print(f"{family}: seed {seed}, {size}, float32 {float32}")
            tensors = {"input": x, "features": features, "cotangent": cotangent, "pixel_gradient": pulled}
            return network, {k: v.float().contiguous().numpy() for k, v in tensors.items()}, float32
    raise SystemExit(f"{family}: no seed of 40 stays clear of kinks")


def export(network, x, path, exporter, opset, flags, output):
    """Writes the ONNX file; returns the names of the open axes."""
    network = copy.deepcopy(network)
    keep_norms, any_size = "+bn" in flags, "+size" in flags
    if "+eager" in flags:
        for module in network.modules():
            if hasattr(module, "fused_attn"):
                module.fused_attn = False
    axes = {0: "batch", 2: "height", 3: "width"} if any_size else {0: "batch"}
    names = {"input_names": ["input"], "output_names": [output], "opset_version": opset}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if exporter == "dynamo":
            dims = {i: torch.export.Dim(name) for i, name in axes.items()}
            torch.onnx.export(
                network, (x,), path, dynamo=True, dynamic_shapes=(dims,),
                external_data=False, verbose=False, optimize=not keep_norms, **names,
            )  # fmt: skip
        else:
            training = torch.onnx.TrainingMode.PRESERVE if keep_norms else torch.onnx.TrainingMode.EVAL
            torch.onnx.export(
                network, (x,), path, dynamo=False, dynamic_axes={"input": axes, output: {0: "batch"}},
                training=training, do_constant_folding=not keep_norms, **names,
            )  # fmt: skip
    if "+ort" in flags:
        rewritten = onnxruntime.SessionOptions()
        rewritten.optimized_model_filepath = path
        rewritten.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        onnxruntime.InferenceSession(path, rewritten, providers=["CPUExecutionProvider"])
    return axes


def without_notes(model):
    """Drops stack traces and the like: they name files of the machine that exported."""
    for part in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    for tensor in model.graph.initializer:
        tensor.ClearField("doc_string")
        tensor.ClearField("metadata_props")
    return model


def check(model, feature, tensors):
    """Largest difference of ONNX Runtime's features from PyTorch's, over the largest feature."""
    model = copy.deepcopy(model)
    if feature not in [o.name for o in model.graph.output]:
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(feature))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    want = tensors["features"]
    (got,) = session.run([feature], {"input": tensors["input"]})
    (first,) = session.run([feature], {"input": tensors["input"][:1]})  # the batch is open
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in ((got, want), (first, want[:1])))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="families to make; all when none is given")
    options = parser.parse_args()
    unknown = set(options.names) - set(FAMILIES)
    if unknown:
        parser.error(f"no family {', '.join(sorted(unknown))}; there are {', '.join(FAMILIES)}")
    torch.backends.mha.set_fastpath_enabled(False)  # a fused operator without an ONNX counterpart
    for family in options.names or FAMILIES:
        network, tensors, float32 = references(family)
        for kind in EXPORTS.get(family, USUAL):
            exporter, opset, flags = re.fullmatch(r"([a-z]+)(\d+)(.*)", kind).groups()
            name = f"{family}-{kind.replace('+', '-')}"
            folder = OUT / name
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            classifier = family in WITH_CLASSIFIER
            output = "logits" if classifier else "features"
            file = folder / "model.onnx"
            axes = export(
                network, torch.from_numpy(tensors["input"]), str(file), exporter, int(opset), flags, output
            )  # fmt: skip
            model = without_notes(onnx.load(file))
            if "+ort" not in flags:  # the checker does not know ONNX Runtime's own operators
                onnx.checker.check_model(model, full_check=True)
            assert not model.functions, f"{name} defines functions"
            last = next(n for n in model.graph.node if output in n.output)
            feature = last.input[0] if classifier else "features"
            difference = check(model, feature, tensors)
            assert difference < 1e-5, f"{name}: ONNX Runtime's features differ by {difference}"
            onnx.save(model, file)
            safetensors.numpy.save_file(tensors, folder / "tensors.safetensors")
            ops = collections.Counter(f"{n.domain}.{n.op_type}".lstrip(".") for n in model.graph.node)
            standard = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
            meta = {
                "name": name,
                "family": family,
                "exporter": exporter,
                "opset": standard,
                "input": "input",
                "feature": feature,
                "inputShape": list(tensors["input"].shape),
                "featureShape": list(tensors["features"].shape),
                "dynamicAxes": list(axes.values()),
                "ops": dict(sorted(ops.items())),
                "float32": float32,
                "versions": {m.__name__: m.__version__ for m in (torch, torchvision, timm, transformers, onnx)},
            }
            (folder / "meta.json").write_text(json.dumps(meta, indent=2) + "\n")
            size = sum(f.stat().st_size for f in folder.iterdir()) / 1024
            print(f"  {name}: opset {standard}, {size:.0f} KiB, ONNX Runtime {difference:.1e}, {dict(ops)}")


if __name__ == "__main__":
    main()
