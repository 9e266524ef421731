"""PyTorch's side of bench/runs/full-size.ts: Vision Transformers of the published sizes with random weights, saved as
their libraries save them, and other encoders exported to ONNX; features and pixel gradients in float64."""

import gc
import json
import pathlib
import sys
import time

import numpy
import safetensors.torch
import timm
import torch
import torchvision
import transformers
from protocol import serve

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
from make_encoder_fixtures import randomise  # noqa: E402
from make_model_fixtures import calibrate, export  # noqa: E402

T = transformers
SMALL = dict(hidden_size=384, num_attention_heads=6, intermediate_size=1536)
# A text tower as small as can be: it is saved beside the image tower, as CLIP has it.
TEXT = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=20,
            bos_token_id=0, eos_token_id=1)


def clip(patch):
    model = T.CLIPModel(T.CLIPConfig(vision_config=dict(patch_size=patch), text_config=TEXT, projection_dim=512))
    return model, lambda x: model.visual_projection(model.vision_model(x).pooler_output)


def cls(model):
    return model, lambda x: model(x).last_hidden_state[:, 0]


def pooled(model):
    return model, lambda x: model(x).pooler_output


def architecture(name):
    model = timm.create_model(name, num_classes=0)
    return model, lambda x: model.forward_head(model.forward_features(x), pre_logits=True)


MODELS = {
    "clip-vit-b-16": lambda: clip(16),
    "clip-vit-b-32": lambda: clip(32),
    # 518 pixels is what its positions belong to; images have 224.
    "dinov2-base": lambda: cls(T.Dinov2Model(T.Dinov2Config(image_size=518))),
    "dinov2-small": lambda: cls(T.Dinov2Model(T.Dinov2Config(image_size=518, hidden_size=384, num_attention_heads=6))),
    "dinov3-vits16": lambda: cls(T.DINOv3ViTModel(T.DINOv3ViTConfig(num_register_tokens=4, **SMALL))),
    "dinov3-vitb16": lambda: cls(T.DINOv3ViTModel(T.DINOv3ViTConfig(
        num_register_tokens=4, hidden_size=768, num_attention_heads=12, intermediate_size=3072))),
    "eva02-base": lambda: architecture("eva02_base_patch14_224"),
    "eva02-small": lambda: architecture("eva02_small_patch14_224"),
    "mocov3-vit-b": lambda: architecture("vit_base_patch16_224"),
    "mae-vit-b": lambda: architecture("vit_base_patch16_224"),
    "siglip2-base": lambda: pooled(T.SiglipVisionModel(T.SiglipVisionConfig())),
    "deit-small": lambda: architecture("deit_small_patch16_224"),
}


def headless(name, *path):
    """A network of torchvision without the layer at `path`, its classifier."""
    model = getattr(torchvision.models, name)()
    *parents, last = path
    owner = model.get_submodule(".".join(parents)) if parents else model
    setattr(owner, last, torch.nn.Identity())
    return model


EXPORTS = {
    "resnet50": lambda: headless("resnet50", "fc"),
    "convnext_tiny": lambda: headless("convnext_tiny", "classifier", "2"),
    "mobilenet_v3_large": lambda: headless("mobilenet_v3_large", "classifier"),
    "efficientnet_b0": lambda: headless("efficientnet_b0", "classifier"),
    "regnet_y_400mf": lambda: headless("regnet_y_400mf", "fc"),
    "swin_t": lambda: headless("swin_t", "head"),
    "deit_small": lambda: timm.create_model("deit_small_patch16_224", num_classes=0),
    "vit_base": lambda: timm.create_model("vit_base_patch16_224", num_classes=0),
    "mobilevit_s": lambda: timm.create_model("mobilevit_s", num_classes=0),
    "fastvit_t8": lambda: timm.create_model("fastvit_t8", num_classes=0),
}

state = {}


def vary(model, generator):
    """A fresh network's normalisations and scales are ones, zeros and 1e-6s, in which mistakes would not show."""
    for kind, p in model.named_parameters():
        noise = torch.rand(p.shape, generator=generator)
        if p.dim() == 1 or "scale" in kind or "gamma" in kind:
            p.data.copy_(0.1 * (noise - 0.5) if kind.endswith("bias") else 0.5 + 0.5 * noise)


def load_export(name, exporter, opset, folder, threads, size):
    """Makes an encoder and exports it to model.onnx in `folder`."""
    torch.set_num_threads(threads)
    torch.backends.mha.set_fastpath_enabled(False)
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    model = EXPORTS[name]().eval().requires_grad_(False)
    vary(model, generator)
    x = torch.randn((2, 3, size, size), generator=generator)
    calibrate(model, x, generator)
    export(model, x, str(pathlib.Path(folder, "model.onnx")), exporter, opset, (), "features")
    state.update(model=model, forward=model)
    return {"torch": torch.__version__, "torchvision": torchvision.__version__, "timm": timm.__version__}


def load(name, folder, threads):
    """Makes the model and saves it into `folder`."""
    torch.set_num_threads(threads)
    model, forward = MODELS[name]()
    model.eval().requires_grad_(False)
    randomise(model, 1)
    if hasattr(model, "save_pretrained"):
        model.save_pretrained(folder)
    else:
        config = dict(architecture=model.pretrained_cfg["architecture"], num_classes=0, global_pool=model.global_pool)
        pathlib.Path(folder, "config.json").write_text(json.dumps(config))
        safetensors.torch.save_file(model.state_dict(), pathlib.Path(folder, "model.safetensors"))
    state.update(model=model, forward=forward)
    return {"torch": torch.__version__, "transformers": T.__version__, "timm": timm.__version__}


def gradient(kind):
    x = state["images"].to(kind, copy=True).requires_grad_()
    y = state["forward"](x)
    cotangent = torch.randn(y.shape, generator=torch.Generator().manual_seed(3)).to(kind)
    (dx,) = torch.autograd.grad((y * cotangent).sum(), x)
    return y.detach(), cotangent, dx


def reference(batch, size, folder):
    """Writes images, features, cotangent and pixel gradient; gives PyTorch's own float32 errors against float64."""
    state["images"] = torch.randn((batch, 3, size, size), generator=torch.Generator().manual_seed(2))
    state["model"].double()
    y, c, dx = gradient(torch.float64)
    state["model"].float()
    y32, _, dx32 = gradient(torch.float32)
    for name, tensor in dict(images=state["images"], features=y, cotangent=c, gradient=dx).items():
        tensor.float().numpy().astype(numpy.float32).tofile(pathlib.Path(folder, f"{name}.bin"))
    gc.collect()
    relative = lambda a, b: float((a.double() - b).norm() / b.norm())
    # In other images a unit that is at a kink falls to the one side in float32 and to the other in float64.
    return {"features": relative(y32, y), "gradient": min(map(relative, dx32, dx))}


def run(mode):
    """Milliseconds of the features alone, or of features and gradient."""
    start = time.perf_counter()
    if mode == "features":
        with torch.no_grad():
            state["forward"](state["images"])
    else:
        gradient(torch.float32)
    return 1000 * (time.perf_counter() - start)


serve({"load": load, "load_export": load_export, "reference": reference, "run": run})
