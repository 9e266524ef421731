"""The encoders of the benchmark with random weights, by the names that bench/runs/encoder-step.ts uses.

    python models.py NAME SIZE OUT.onnx     exports one; both sides then hold the same weights
"""

import sys
import warnings

import timm
import torch
from torch import nn

# timm's architecture, and whether it is convolutional (channels_last in PyTorch).
MODELS = {
    "vit-s16": ("vit_small_patch16_224", False),
    "vit-b16": ("vit_base_patch16_224", False),
    "dinov2-b14": ("vit_base_patch14_dinov2", False),
    "efficientnet-lite0": ("efficientnet_lite0", True),
    "resnet50": ("resnet50", True),
    "convnext-t": ("convnext_tiny", True),
}

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def encoder(name: str, size: int) -> nn.Module:
    """A frozen encoder from normalised images to features, the same weights at every call."""
    architecture, convolutional = MODELS[name]
    torch.manual_seed(0)
    options = {} if convolutional else {"img_size": size}
    model = timm.create_model(architecture, pretrained=False, num_classes=0, **options).eval()
    # A fresh network's normalizations and scales are ones, zeros and 1e-5s, in which mistakes would not show.
    generator = torch.Generator().manual_seed(1)
    for kind, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.dtype != torch.float32 or tensor.dim() != 1:
            continue
        noise = torch.rand(tensor.shape, generator=generator)
        tensor.data.copy_(0.1 * (noise - 0.5) if kind.endswith(("bias", "running_mean")) else 0.8 + 0.4 * noise)
    return model.requires_grad_(False)


class Normalized(nn.Module):
    """The encoder behind ImageNet's normalisation: images in [0, 1] to features."""

    def __init__(self, name: str, size: int):
        super().__init__()
        self.encoder = encoder(name, size)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))

    def forward(self, images):
        return self.encoder((images - self.mean) / self.std)


if __name__ == "__main__":
    name, size, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    warnings.filterwarnings("ignore")
    model = encoder(name, size)
    example = torch.zeros(2, 3, size, size)
    torch.onnx.export(
        model,
        (example,),
        out,
        dynamo=False,
        opset_version=17,
        input_names=["pixel_values"],
        output_names=["features"],
        dynamic_axes={"pixel_values": {0: "batch"}, "features": {0: "batch"}},
    )
