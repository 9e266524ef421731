"""Makes test/fixtures/architectures.json: what timm's Vision Transformers of known names are made of, and
transformers' at their default configurations. No weights: parameters are counted, switches are read.

Run: python tools/make_architecture_fixture.py       (needs tools/requirements.txt)
"""

import json
import pathlib
import re

import timm
import torch
import transformers as T

OUT = pathlib.Path(__file__).resolve().parent.parent / "test" / "fixtures" / "architectures.json"
# Names of the kinds that src/encoder/vit/timm.ts has rows for; what it leaves out of them stays in, so that the test
# can tell.
NAMES = re.compile(
    r"(eva02_(tiny|small|base|large)_patch14_\d+|vit_(tiny|small|base|large)_patch16_dinov3(_qkvb)?"
    r"|vit_(small|base|large)_patch14(_reg4)?_dinov2|vit_(medium|base|large|huge)_patch\d+_clip(_quickgelu)?_\d+"
    r"|vit_(base|large|so400m)_patch\d+_siglip(_gap)?_\d+|deit_(tiny|small|base)(_distilled)?_patch16_\d+"
    r"|deit3_(small|medium|base|large|huge)_patch\d+_\d+|vit_(tiny|small|base|large|huge)_patch\d+_\d+)$"
)
CLASSES = {
    "clip_vision_model": (T.CLIPVisionModelWithProjection, T.CLIPVisionConfig),
    "dinov2": (T.Dinov2Model, T.Dinov2Config),
    "dinov2_with_registers": (T.Dinov2WithRegistersModel, T.Dinov2WithRegistersConfig),
    "dinov3_vit": (T.DINOv3ViTModel, T.DINOv3ViTConfig),
    "siglip_vision_model": (T.SiglipVisionModel, T.SiglipVisionConfig),
    "siglip2_vision_model": (T.Siglip2VisionModel, T.Siglip2VisionConfig),
    "vit": (T.ViTModel, T.ViTConfig),
    "deit": (T.DeiTModel, T.DeiTConfig),
    "vit_mae": (T.ViTMAEModel, T.ViTMAEConfig),
}


def count(model):
    # Masks are for training; their token is not read.
    return sum(p.numel() for name, p in model.named_parameters() if not name.endswith("mask_token"))


def activation(block):
    act = block.mlp.act
    if getattr(act, "approximate", "none") == "tanh":
        return "gelu-tanh"
    name = type(act).__name__.lower()
    return {"gelu": "gelu", "gelutanh": "gelu-tanh", "quickgelu": "quick-gelu", "silu": "silu"}[name]


def of_timm(name):
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=0)
    block = model.blocks[0]
    return dict(
        parameters=count(model),
        width=model.embed_dim,
        heads=block.attn.num_heads,
        epsilon=block.norm1.eps,
        activation=activation(block),
        pool=model.global_pool,
        image=list(model.patch_embed.img_size or (224, 224)),
        # Which of the two last normalizations there is: files tell by its name.
        pooledNorm=isinstance(model.fc_norm, torch.nn.LayerNorm),
    )


def of_transformers(kind):
    cls, config = CLASSES[kind]
    with torch.device("meta"):
        model = cls(config())
    return dict(parameters=count(model), epsilon=config().layer_norm_eps, heads=config().num_attention_heads)


names = [n for n in timm.list_models(module="vision_transformer") + timm.list_models(module="deit")
         + timm.list_models(module="eva") if NAMES.match(n)]
OUT.write_text(json.dumps(
    {"timm": {n: of_timm(n) for n in names}, "transformers": {k: of_transformers(k) for k in CLASSES}}, indent=1,
) + "\n")
print(len(names), "architectures")
