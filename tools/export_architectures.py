"""Exports popular image models by both of PyTorch's exporters, with features and pixel gradients in float64.

Run: python tools/export_architectures.py OUT [NAME ...] [--exporters ...]        (needs tools/requirements.txt)

One small variant of each architecture of ARCHITECTURES, with random weights. Writes for each a folder OUT/NAME with
  torchscript.onnx, dynamo.onnx   where the exporter takes the model
  tensors.safetensors             input [2, 3, h, w], features, cotangent, pixel_gradient: float64, rounded to float32
  meta.json                       name, library, input shape, parameters, what kept an exporter from it, and how far
                                  PyTorch's own float32 is from the reference (largest difference over largest value)
`npm run architectures` holds this project's features and gradients against them. A folder that is complete is kept; `--exporters` leaves one out.
"""

import argparse
import copy
import json
import multiprocessing
import pathlib
import re
import warnings

import safetensors.numpy
import timm
import torch
import transformers
from make_model_fixtures import calibrate, export, gradient, randomise, relative
from torch import nn

SECONDS = 600  # for one model
OPSETS = {"torchscript": 17, "dynamo": 18}


class Hidden(nn.Module):
    """A transformers model whose feature is the first token, or the mean of a map or of the tokens."""

    def __init__(self, model, pool="mean"):
        super().__init__()
        self.model, self.pool = model, pool

    def forward(self, x):
        hidden = self.model(pixel_values=x).last_hidden_state
        if hidden.dim() == 4:
            return hidden.mean((2, 3))
        return hidden[:, 0] if self.pool == "first" else hidden.mean(1)


SMALL = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128}


def of_transformers(model, config, pool="mean", **sizes):
    def make():
        cls, settings = getattr(transformers, model), getattr(transformers, config)
        return Hidden(cls(settings(**sizes)), pool)

    return make


# Architectures by the names of their most downloaded families on the Hugging Face hub; timm's smallest variant of each.
TIMM = """
resnet18 resnext50_32x4d seresnet50 resnetv2_50 res2net50_26w_4s resnest14d vgg11_bn densenet121 inception_v3 xception41
dla34 hrnet_w18_small regnetx_002 regnety_002 mobilenetv2_100 mobilenetv3_small_100 mobilenetv4_conv_small mnasnet_small
efficientnet_b0 tf_efficientnetv2_b0 ghostnet_100 repvgg_a0 mobileone_s0 convnext_atto convnextv2_atto inception_next_atto
vit_tiny_patch16_224 deit3_small_patch16_224 beit_base_patch16_224 eva02_tiny_patch14_224 cait_xxs24_224 pit_ti_224
crossvit_tiny_240 levit_128s swin_tiny_patch4_window7_224 swinv2_tiny_window8_256 maxvit_nano_rw_256 coatnet_nano_rw_224
mobilevit_xxs mobilevitv2_050 repvit_m0_9 fastvit_t8 fasternet_t0 efficientformer_l1 efficientformerv2_s0
edgenext_xx_small poolformer_s12 pvt_v2_b0 twins_pcpvt_small xcit_nano_12_p16_224 mixer_s32_224 gmlp_s16_224
tiny_vit_5m_224 davit_tiny focalnet_tiny_srf hiera_tiny_224 starnet_s1 mambaout_femto
""".split()

ARCHITECTURES = {
    "hf-clip": (of_transformers("CLIPVisionModel", "CLIPVisionConfig", "first", image_size=64, patch_size=16, **SMALL), 64),
    "hf-siglip": (of_transformers("SiglipVisionModel", "SiglipVisionConfig", image_size=64, patch_size=16, **SMALL), 64),
    "hf-dinov2": (of_transformers("Dinov2Model", "Dinov2Config", "first", image_size=56, patch_size=14, **{**SMALL, "mlp_ratio": 2}), 56),
    "hf-vit": (of_transformers("ViTModel", "ViTConfig", "first", image_size=64, patch_size=16, **SMALL), 64),
    "hf-beit": (of_transformers("BeitModel", "BeitConfig", image_size=64, patch_size=16, **SMALL), 64),
    "hf-data2vec": (of_transformers("Data2VecVisionModel", "Data2VecVisionConfig", image_size=64, patch_size=16, **SMALL), 64),
    "hf-swin": (of_transformers("SwinModel", "SwinConfig", image_size=64, embed_dim=24, depths=[2, 2], num_heads=[2, 4], window_size=4), 64),
    "hf-convnext": (of_transformers("ConvNextModel", "ConvNextConfig", hidden_sizes=[16, 32, 48, 64], depths=[1, 1, 2, 1]), 64),
    "hf-resnet": (of_transformers("ResNetModel", "ResNetConfig", embedding_size=16, hidden_sizes=[32, 48, 64, 96], depths=[1, 1, 2, 1]), 64),
    "hf-segformer": (of_transformers("SegformerModel", "SegformerConfig", hidden_sizes=[16, 32, 40, 64], depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 4, 4]), 64),
    "hf-mobilevit": (of_transformers("MobileViTModel", "MobileViTConfig", image_size=64), 64),
    "hf-pvt-v2": (of_transformers("PvtV2Model", "PvtV2Config", image_size=64, hidden_sizes=[16, 32, 40, 64], depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 4, 4]), 64),
    **{name: (lambda name=name: timm.create_model(name, pretrained=False, num_classes=0), None) for name in TIMM},
}  # fmt: skip


def references(name):
    make, side = ARCHITECTURES[name]
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    network = make().eval().requires_grad_(False)
    side = side or network.default_cfg["input_size"][-1]
    randomise(network, generator)
    x = torch.randn((2, 3, side, side), generator=generator)  # dynamo takes a batch of 1 for a constant
    calibrate(network, x, generator)
    cotangent = torch.randn(network(x).shape, generator=generator)
    features, pulled = gradient(copy.deepcopy(network).double(), x.double(), cotangent.double(), name)
    features32, pulled32 = gradient(network, x, cotangent, name)
    tensors = {"input": x, "features": features, "cotangent": cotangent, "pixel_gradient": pulled}
    float32 = {"features": relative(features32, features), "gradient": relative(pulled32, pulled)}
    return network, x, {k: v.float().contiguous().numpy() for k, v in tensors.items()}, float32


def work(name, folder, exporters, results):
    """Both exports, in a process of their own: an exporter that hangs is ended."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.backends.mha.set_fastpath_enabled(False)
    network, x, tensors, float32 = references(name)
    safetensors.numpy.save_file(tensors, folder / "tensors.safetensors")
    parameters = sum(p.numel() for p in network.parameters())
    results.put({"shape": list(x.shape), "float32": float32, "parameters": parameters})
    for exporter in exporters:
        opset = OPSETS[exporter]
        try:
            export(network, x, str(folder / f"{exporter}.onnx"), exporter, opset, "", "features")
            results.put({"exported": exporter})
        except Exception as error:
            text = re.sub(r"\x1b\[\d*m", "", str(error)).strip()
            results.put({"failed": exporter, "why": f"{type(error).__name__}: {text[:200]}"})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--exporters", nargs="+", choices=list(OPSETS), default=list(OPSETS))
    parser.add_argument("names", nargs="*", help="architectures; all when none is given")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    for name in options.names or ARCHITECTURES:
        folder = options.out / name
        if (folder / "meta.json").exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        meta = {"name": name, "library": "transformers" if name.startswith("hf-") else "timm", "failures": {}}
        results = context.Queue()
        process = context.Process(target=work, args=(name, folder, options.exporters, results))
        process.start()
        process.join(SECONDS)
        late = process.is_alive()
        if late:
            process.kill()
            process.join()
        done = set()
        while not results.empty():
            found = results.get()
            done.add(found.get("exported") or found.get("failed"))
            if "failed" in found:
                meta["failures"][found["failed"]] = found["why"]
            meta.update({k: v for k, v in found.items() if k in ("shape", "float32", "parameters")})
        for exporter in set(options.exporters) - done:
            meta["failures"][exporter] = f"took more than {SECONDS} seconds" if late else "ended without a word"
        meta["versions"] = {m.__name__: m.__version__ for m in (torch, timm, transformers)}
        (folder / "meta.json").write_text(json.dumps(meta, indent=2) + "\n")
        print(name, meta["failures"] or "exported", flush=True)


if __name__ == "__main__":
    main()
