"""Makes test/fixtures/encoders: small Vision Transformers of every family as their own libraries save them.

Run: python tools/make_encoder_fixtures.py [NAME ...]        (needs tools/requirements.txt)

For each case a folder with
  config.json, model.safetensors   as transformers' save_pretrained or timm's hub layout has them (or shards with an index)
  fixture.safetensors              input [n, 3, h, w] (normalized pixels), features [n, d], cotangent [n, d],
                                   pixel_gradient [n, 3, h, w] = (∂features/∂input)ᵀ cotangent
  meta.json                        library and version, pool, the preprocessing's crop, float32 (how far the library's
                                   own float32 is from its float64, largest difference over largest value)
Features and gradient are computed by the library in float64 from the weights as they were saved (rounded to float32,
float16 or bfloat16) and rounded to float32. All parameters are random, of a size that keeps activations near one.
"""

import json
import pathlib
import shutil
import sys

import numpy as np
import safetensors.torch
import timm
import torch
import transformers

OUT = pathlib.Path(__file__).resolve().parent.parent / "test" / "fixtures" / "encoders"

# Narrow, two blocks, few patches.
SMALL = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8)
TIMM = dict(embed_dim=32, depth=2, num_heads=2, patch_size=8, img_size=32)


def randomise(model, seed):
    """Random values for every parameter, of a size that keeps activations near one."""
    generator = torch.Generator().manual_seed(seed)

    def normal(p, std, mean=0.0):
        p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float32) * std + mean)

    with torch.no_grad():
        for name, p in model.named_parameters():
            module = model.get_submodule(name.rpartition(".")[0])
            leaf = name.rpartition(".")[2]
            if isinstance(module, torch.nn.LayerNorm) and leaf == "weight":
                normal(p, 0.2, 1.0)
            elif leaf in ("lambda1", "gamma", "gamma_1", "gamma_2"):
                normal(p, 0.3, 0.7)
            elif leaf.endswith("bias"):
                normal(p, 0.2)
            elif p.dim() >= 2 and leaf in ("weight", "in_proj_weight") and not isinstance(module, torch.nn.Embedding):
                normal(p, 1.2 / p[0].numel() ** 0.5)
            else:
                normal(p, 0.5)


def hf(make, feature, **call):
    """A case of Hugging Face transformers: `make` returns the model, `feature` picks its output."""

    def build():
        model = make()

        def forward(x):
            return feature(model(x, **call))

        return dict(library="transformers", model=model, forward=forward, save=lambda folder: model.save_pretrained(folder))

    return build


def timm_case(architecture, **own):
    """A case of timm: the model's own forward, without a classifier."""

    def build():
        arguments = {**TIMM, **own.get("overrides", {})}
        model = timm.create_model(architecture, num_classes=own.get("num_classes", 0), **arguments)
        head = own.get("num_classes", 0)
        pool = own.get("config_pool", model.global_pool)
        size = arguments["img_size"]

        def forward(x):
            return model.forward_head(model.forward_features(x), pre_logits=True)

        def save(folder):
            config = {
                "architecture": architecture,
                "num_classes": head,
                "num_features": model.num_features,
                "global_pool": pool,
                "pretrained_cfg": {
                    "input_size": [3, size, size],
                    "crop_pct": 0.9,
                    "crop_mode": "center",
                    "interpolation": "bicubic",
                    "mean": [0.485, 0.456, 0.406],
                    "std": [0.229, 0.224, 0.225],
                    "num_classes": head,
                    "first_conv": "patch_embed.proj",
                    "classifier": "head",
                },
                "model_args": arguments,
            }
            if own.get("mixin"):
                # What a model mixin saves: the arguments of its own constructor, some of which timm does not know.
                config = {**arguments, "stop_grad_conv1": False}
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
            state = {k: v.contiguous() for k, v in model.state_dict().items()}
            safetensors.torch.save_file(state, folder / "model.safetensors", metadata={"format": "pt"})

        return dict(library="timm", model=model, forward=forward, save=save)

    return build


def clip(patch=8, image=32):
    return transformers.CLIPConfig(
        vision_config=dict(SMALL, intermediate_size=64, patch_size=patch, image_size=image),
        text_config=dict(
            hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=20,
            bos_token_id=0, eos_token_id=1,
        ),
        projection_dim=20,
    )


def clip_case(patch=8, image=32, interpolate=False):
    def build():
        model = transformers.CLIPModel(clip(patch, image))

        def forward(x):
            pooled = model.vision_model(x, interpolate_pos_encoding=interpolate).pooler_output
            return model.visual_projection(pooled)

        return dict(library="transformers", model=model, forward=forward, save=lambda f: model.save_pretrained(f))

    return build


def cls(out):
    return out.last_hidden_state[:, 0]


def pooled(out):
    return out.pooler_output


def mean_of(model_patches_from):
    return lambda out: out.last_hidden_state[:, model_patches_from:].mean(1)


V = transformers


def mae_case():
    config = V.ViTMAEConfig(
        **SMALL, intermediate_size=64, mask_ratio=0.0, decoder_hidden_size=16, decoder_num_hidden_layers=1,
        decoder_num_attention_heads=2, decoder_intermediate_size=16,
    )
    model = V.ViTMAEForPreTraining(config)

    def forward(x):
        # Nothing masked, and nothing shuffled.
        noise = torch.arange(16, dtype=x.dtype).expand(x.shape[0], 16)
        return model.vit(x, noise=noise).last_hidden_state[:, 0]

    return dict(library="transformers", model=model, forward=forward, save=lambda f: model.save_pretrained(f))


def classifier_case():
    model = V.ViTForImageClassification(V.ViTConfig(**SMALL, intermediate_size=64, num_labels=5))
    forward = lambda x: model.vit(x).last_hidden_state[:, 0]
    return dict(library="transformers", model=model, forward=forward, save=lambda f: model.save_pretrained(f))


def seen_case(make):
    """A case of a classifier: the feature is what goes into its last layer."""

    def build():
        model = make()
        seen = []
        model.classifier.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))

        def forward(x):
            model(x)
            return seen.pop()

        return dict(library="transformers", model=model, forward=forward, save=lambda f: model.save_pretrained(f))

    return build


def siglip2_case():
    def build():
        model = V.Siglip2VisionModel(V.Siglip2VisionConfig(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, patch_size=8,
            num_patches=16,
        ))

        def forward(x):
            n, _, h, w = x.shape
            grid = h // 8, w // 8
            patches = x.reshape(n, 3, grid[0], 8, grid[1], 8).permute(0, 2, 4, 3, 5, 1).reshape(n, -1, 192)
            shapes = torch.tensor([grid] * n)
            mask = torch.ones(n, patches.shape[1], dtype=torch.int64)
            return model(patches, mask, shapes).pooler_output

        return dict(library="transformers", model=model, forward=forward, save=lambda f: model.save_pretrained(f))

    return build


EVA = dict(ref_feat_shape=(4, 4))

# Name: the case, and what is particular: size of the images, type of the weights, shards, pool.
CASES = {
    "clip-vit-b-16": dict(case=clip_case()),
    "clip-vit-b-32": dict(case=clip_case(patch=16)),
    "clip-vit-b-16-resized": dict(case=clip_case(interpolate=True), size=(48, 48)),
    "clip-vision-model": dict(case=hf(lambda: V.CLIPVisionModel(V.CLIPVisionConfig(**SMALL, intermediate_size=64)), pooled)),
    "clip-float16": dict(case=clip_case(), dtype=torch.float16),
    "dinov2": dict(case=hf(lambda: V.Dinov2Model(V.Dinov2Config(**SMALL, mlp_ratio=2)), cls)),
    "dinov2-resized": dict(case=hf(lambda: V.Dinov2Model(V.Dinov2Config(**SMALL, mlp_ratio=2)), cls), size=(24, 24)),
    "dinov2-mean": dict(case=hf(lambda: V.Dinov2Model(V.Dinov2Config(**SMALL, mlp_ratio=2)), mean_of(1)), pool="mean"),
    "dinov2-swiglu": dict(case=hf(lambda: V.Dinov2Model(V.Dinov2Config(**SMALL, mlp_ratio=2, use_swiglu_ffn=True)), cls)),
    "dinov2-bfloat16-sharded": dict(
        case=hf(lambda: V.Dinov2Model(V.Dinov2Config(**SMALL, mlp_ratio=2)), cls), dtype=torch.bfloat16, shards="20KB",
    ),
    "dinov2-registers": dict(
        case=hf(lambda: V.Dinov2WithRegistersModel(V.Dinov2WithRegistersConfig(**SMALL, mlp_ratio=2, num_register_tokens=3)), cls),
        size=(48, 48),
    ),
    "dinov3": dict(
        case=hf(lambda: V.DINOv3ViTModel(V.DINOv3ViTConfig(**SMALL, intermediate_size=64, num_register_tokens=4)), cls),
    ),
    "dinov3-gated": dict(
        case=hf(lambda: V.DINOv3ViTModel(V.DINOv3ViTConfig(
            **SMALL, intermediate_size=64, num_register_tokens=4, use_gated_mlp=True, hidden_act="silu")), cls),
        size=(48, 32),
    ),
    "siglip": dict(case=hf(lambda: V.SiglipVisionModel(V.SiglipVisionConfig(**SMALL, intermediate_size=64)), pooled)),
    "siglip2-naflex": dict(case=siglip2_case(), size=(48, 48)),
    "vit": dict(case=classifier_case),
    "vit-pooler": dict(case=hf(lambda: V.ViTModel(V.ViTConfig(**SMALL, intermediate_size=64)), pooled), pool="pooler"),
    "deit": dict(case=hf(lambda: V.DeiTModel(V.DeiTConfig(**SMALL, intermediate_size=64)), cls)),
    "deit-resized": dict(
        case=hf(lambda: V.DeiTModel(V.DeiTConfig(**SMALL, intermediate_size=64)), cls, interpolate_pos_encoding=True),
        size=(40, 40),
    ),
    "mae": dict(case=mae_case),
    "timm-eva02-base": dict(case=timm_case("eva02_base_patch14_224", overrides=EVA)),
    "timm-eva02-tiny": dict(case=timm_case("eva02_tiny_patch14_224", overrides=EVA)),
    "timm-eva02-small-resized": dict(
        case=timm_case("eva02_small_patch14_224", overrides=EVA), size=(48, 48),
    ),
    "timm-vit": dict(case=timm_case("vit_base_patch16_224", num_classes=5)),
    "timm-vit-average": dict(case=timm_case("vit_base_patch16_224", overrides=dict(global_pool="avg"))),
    "timm-vit-float16": dict(case=timm_case("vit_small_patch16_224"), dtype=torch.float16),
    "timm-mae": dict(case=timm_case("vit_base_patch16_224")),
    "timm-mocov3": dict(case=timm_case("vit_base_patch16_224", num_classes=5, mixin=True,
                                       overrides=dict(qkv_bias=True, mlp_ratio=4)), sincos=True),
    "timm-deit-small": dict(case=timm_case("deit_small_patch16_224")),
    "timm-deit-small-resized": dict(case=timm_case("deit_small_patch16_224"), size=(48, 48)),
    "timm-deit-distilled": dict(case=timm_case("deit_small_distilled_patch16_224")),
    "timm-dinov2": dict(case=timm_case("vit_small_patch14_dinov2")),
    "timm-dinov2-registers": dict(case=timm_case("vit_small_patch14_reg4_dinov2")),
    "timm-dinov3": dict(case=timm_case("vit_small_patch16_dinov3", config_pool="token", overrides=dict(global_pool="token"))),
    "timm-clip": dict(case=timm_case("vit_base_patch16_clip_quickgelu_224")),
    "timm-siglip": dict(case=timm_case("vit_base_patch16_siglip_224")),
    "timm-dinov2-resized": dict(case=timm_case("vit_small_patch14_dinov2"), size=(24, 24)),
    "dinov2-registers-resized": dict(
        case=hf(lambda: V.Dinov2WithRegistersModel(V.Dinov2WithRegistersConfig(**SMALL, mlp_ratio=2, num_register_tokens=3)), cls),
        size=(24, 48),
    ),
    "siglip2-naflex-resized": dict(case=siglip2_case(), size=(24, 24)),
    "dinov3-gated-gelu": dict(case=hf(lambda: V.DINOv3ViTModel(V.DINOv3ViTConfig(
        **SMALL, intermediate_size=64, num_register_tokens=2, use_gated_mlp=True, key_bias=True, mlp_bias=False)), cls)),
    "clip-classifier": dict(case=seen_case(lambda: V.CLIPForImageClassification(clip()))),
    "dinov2-classifier": dict(case=seen_case(lambda: V.Dinov2ForImageClassification(V.Dinov2Config(**SMALL, mlp_ratio=2)))),
    "dinov2-registers-classifier": dict(case=seen_case(lambda: V.Dinov2WithRegistersForImageClassification(
        V.Dinov2WithRegistersConfig(**SMALL, mlp_ratio=2, num_register_tokens=3)))),
    "siglip-classifier": dict(case=seen_case(lambda: V.SiglipForImageClassification(
        V.SiglipConfig(vision_config=dict(SMALL, intermediate_size=64))))),
    "deit-classifier": dict(case=seen_case(lambda: V.DeiTForImageClassification(V.DeiTConfig(**SMALL, intermediate_size=64)))),
    "timm-dinov2-prefix": dict(case=timm_case(
        "vit_small_patch14_reg4_dinov2", overrides=dict(global_pool="avg", pool_include_prefix=True))),
    "dinov2-wide": dict(case=hf(lambda: V.Dinov2Model(V.Dinov2Config(**SMALL, mlp_ratio=2)), cls), size=(24, 40)),
}


def sincos(width, grid):
    """MoCo-v3's fixed position embedding (Chen, Xie, He 2021): sines and cosines of column, then of row; class 0."""
    omega = 10000.0 ** (-np.arange(width // 4) / (width // 4))
    first, second = np.meshgrid(np.arange(grid), np.arange(grid), indexing="ij")
    a, b = (axis.reshape(-1, 1) * omega for axis in (first, second))
    table = np.concatenate([np.sin(a), np.cos(a), np.sin(b), np.cos(b)], 1)
    return torch.from_numpy(np.concatenate([np.zeros((1, width)), table]))[None].float()


def make(name, index):
    spec = CASES[name]
    size = spec.get("size")
    case = spec["case"]()
    model = case["model"].eval()
    randomise(model, 1000 + index)
    if spec.get("sincos"):
        with torch.no_grad():
            model.pos_embed.copy_(sincos(model.embed_dim, 4))
    dtype = spec.get("dtype", torch.float32)
    model.to(dtype)
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if "shards" in spec:
        model.save_pretrained(folder, max_shard_size=spec["shards"])
    else:
        case["save"](folder)
    forward = case["forward"]
    side = size or (32, 32)
    if case["library"] == "timm" and size:
        # As timm itself loads weights for another size.
        architecture = json.loads((folder / "config.json").read_text())
        arguments = {**architecture["model_args"], "img_size": side}
        other = timm.create_model(architecture["architecture"], num_classes=0, **arguments)
        state = timm.models._helpers.load_state_dict(str(folder / "model.safetensors"))
        from timm.models import eva, vision_transformer
        module = eva if isinstance(other, eva.Eva) else vision_transformer
        other.load_state_dict(module.checkpoint_filter_fn(state, other))
        model = other.eval()
        forward = lambda x, m=other: m.forward_head(m.forward_features(x), pre_logits=True)

    generator = torch.Generator().manual_seed(7000 + index)
    x = torch.randn((2, 3, *side), generator=generator)

    def run(kind):
        model.to(kind)
        p = x.to(kind, copy=True).requires_grad_()
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            y = forward(p)
            c = torch.randn(y.shape, generator=torch.Generator().manual_seed(8000 + index)).to(kind)
            (gradient,) = torch.autograd.grad((y * c).sum(), p)
        return y.detach(), c, gradient

    y, c, gradient = run(torch.float64)
    y32, _, gradient32 = run(torch.float32)

    def relative(a, b):
        return float((a - b).abs().max() / b.abs().max())

    safetensors.torch.save_file(
        {"input": x, "features": y.float(), "cotangent": c.float(), "pixel_gradient": gradient.float()},
        folder / "fixture.safetensors",
    )
    meta = dict(
        library=case["library"],
        version={"transformers": transformers, "timm": timm}[case["library"]].__version__,
        pool=spec.get("pool", "auto"),
        crop=list(side),
        float32=dict(features=relative(y32, y), gradient=relative(gradient32, gradient)),
    )
    (folder / "meta.json").write_text(json.dumps(meta, indent=2) + "\n")
    total = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{name}: {total / 1000:.0f} kB, |y| {y.abs().max():.2f}, |g| {gradient.abs().max():.3g}", meta["float32"], flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for index, name in enumerate(CASES):
        if len(sys.argv) < 2 or name in sys.argv[1:]:
            make(name, index)
