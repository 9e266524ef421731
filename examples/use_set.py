"""Classifies images with a distilled set's probe, without Node: loads the set, its encoder and its probe.

    pip install numpy pillow safetensors onnxruntime
    python examples/use_set.py distilled models/efficientnet-lite0.onnx photos/test

`distilled` is a folder that `clp-dd distill` wrote, the second argument its encoder as an ONNX file whose output is the
set's feature, the third a folder of images in one folder per class. Prints the accuracy.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

# Before the import: ONNX Runtime would otherwise send telemetry to its maker.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import onnxruntime
from PIL import Image
from safetensors.numpy import load_file


def pixels(path, preprocessing):
    """An image file as the encoder takes it: resized, cropped, normalized; 3 × height × width."""
    image = Image.open(path).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    image = Image.alpha_composite(white, image).convert("RGB")
    resize, (height, width) = preprocessing["resize"], preprocessing["crop"]
    if resize is not None:
        if isinstance(resize, int):  # the shorter edge
            shorter = min(image.size)
            resize = [resize * image.height // shorter, resize * image.width // shorter]
        method = getattr(Image.Resampling, preprocessing["interpolation"].upper())
        image = image.resize((resize[1], resize[0]), method)
    if image.width < width or image.height < height:
        raise SystemExit(f"{path} is smaller than the crop, which this example does not pad")
    half = (lambda margin: margin // 2) if preprocessing["cropOffset"] == "floor" else (lambda margin: round(margin / 2))
    left, top = half(image.width - width), half(image.height - height)
    image = image.crop((left, top, left + width, top + height))
    return normalized(np.asarray(image, np.float32).transpose(2, 0, 1) / 255, preprocessing)


def normalized(images, preprocessing):
    """Pixels of [0, 1], (…, 3, height, width), with the encoder's mean and standard deviation."""
    mean, std = (np.array(preprocessing[name], np.float32).reshape(3, 1, 1) for name in ("mean", "std"))
    return (images - mean) / std


def mapped(features, normalization, tensors):
    """The feature map of the probe: centered, standardized, and rows divided by their length, as its name says."""
    values = features.astype(np.float64)
    if normalization.startswith(("center", "standardize")):
        values = values - tensors["mean"]
    if normalization.startswith("standardize"):
        values = values / tensors["std"]
    if normalization.endswith("l2"):
        lengths = np.linalg.norm(values, axis=1, keepdims=True)
        values = np.divide(values, lengths, out=np.zeros_like(values), where=lengths > 0)
    return values


def main(folder, model, photos):
    folder = Path(folder)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    encoder, preprocessing = manifest["encoder"], manifest["encoder"]["preprocessing"]
    if hashlib.sha256(Path(model).read_bytes()).hexdigest() != encoder["sha256"]:
        raise SystemExit(f"{model} is not the encoder that the set was made with ({encoder['id']})")
    if "channels" in preprocessing or encoder["pool"] != "none":
        raise SystemExit("This example takes encoders of RGB images whose feature needs no pooling.")

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def features(images):
        (values,) = session.run([encoder["feature"]], {name: images.astype(np.float32)})
        return values

    # The set's exact pixels, in [0, 1], and its probe.
    distilled = load_file(folder / "distilled.safetensors")
    probe = load_file(folder / "probe.safetensors")

    def scores(images):
        return mapped(features(images), manifest["probe"]["normalization"], probe) @ probe["weight"]

    own = scores(normalized(distilled["images"], preprocessing)).argmax(1)
    print(f"of its own {len(own)} images the probe recognizes {(own == distilled['classes']).sum()}")

    right = total = 0
    for label, class_name in enumerate(manifest["classes"]):
        for path in sorted((Path(photos) / class_name).iterdir()):
            right += int(scores(pixels(path, preprocessing)[None]).argmax(1)[0] == label)
            total += 1
    print(f"top-1: {right}/{total} = {right / total:.6f}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
