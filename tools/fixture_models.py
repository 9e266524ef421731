"""Small random networks of the families that people use as encoders, for tools/make_model_fixtures.py.

`FAMILIES` maps a name to a function without arguments that returns (network, input shape). A network maps
[batch, 3, height, width] to one feature tensor. They are the libraries' own classes, made narrow.
"""

import timm
import torch
import torch.nn.functional as F
import torchvision.models as tv
import transformers
from timm.models import byobnet, mobilevit
from torch import nn
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.efficientnet import FusedMBConvConfig, MBConvConfig
from torchvision.models.mobilenetv3 import InvertedResidualConfig
from torchvision.models.regnet import BlockParams
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformerBlockV2
from torchvision.ops.misc import Conv2dNormActivation

FAMILIES = {}


def family(make):
    FAMILIES[make.__name__.replace("_", "-")] = make
    return make


class Take(nn.Module):
    """Runs a network and takes one named output of it, or the result of one of its methods."""

    def __init__(self, network, output=None, method="forward", **options):
        super().__init__()
        self.network, self.output, self.method, self.options = network, output, method, options

    def forward(self, x):
        y = getattr(self.network, self.method)(x, **self.options)
        return y if self.output is None else getattr(y, self.output)


def without_classifier(network, attribute):
    setattr(network, attribute, nn.Identity())
    return network


def narrow_resnet(block, widths, **options):
    """torchvision's ResNet with four stages of the given widths instead of 64, 128, 256, 512."""
    network = tv.ResNet(block, [1, 1, 1, 1], **options)
    network.inplanes, network.dilation = widths[0], 1
    network.conv1 = nn.Conv2d(3, widths[0], 7, stride=2, padding=3, bias=False)
    network.bn1 = nn.BatchNorm2d(widths[0])
    dilate = options.get("replace_stride_with_dilation") or [False] * 3
    for i, width in enumerate(widths):
        stride = 1 if i == 0 else 2
        layer = network._make_layer(block, width, 2 if i == 1 else 1, stride, i > 0 and dilate[i - 1])
        setattr(network, f"layer{i + 1}", layer)
    network.fc = nn.Linear(widths[-1] * block.expansion, 10)
    return network


@family
def resnet_basic():
    # The classifier stays: the feature is an inner tensor, as in files that people download.
    return narrow_resnet(tv.resnet.BasicBlock, (8, 12, 16, 24)), (2, 3, 64, 64)


@family
def resnet_bottleneck():
    """ResNeXt blocks; the last two stages dilated instead of strided."""
    network = narrow_resnet(
        tv.resnet.Bottleneck,
        (8, 8, 12, 12),
        groups=4,
        width_per_group=32,
        replace_stride_with_dilation=[False, True, True],
    )
    return without_classifier(network, "fc"), (2, 3, 48, 48)


@family
def mobilenet_v2():
    network = tv.MobileNetV2(
        width_mult=0.5,
        round_nearest=4,
        inverted_residual_setting=[[1, 16, 1, 1], [6, 16, 2, 2], [6, 24, 2, 2], [6, 32, 2, 1]],
    )
    network.features[-1] = Conv2dNormActivation(16, 64, kernel_size=1, activation_layer=nn.ReLU6)
    return without_classifier(network, "classifier"), (2, 3, 48, 48)


@family
def mobilenet_v3():
    def block(inputs, kernel, expanded, out, se, activation, stride):
        return InvertedResidualConfig(inputs, kernel, expanded, out, se, activation, stride, 1, 1.0)

    network = tv.MobileNetV3(
        [
            block(16, 3, 16, 16, True, "RE", 2),
            block(16, 3, 40, 24, False, "RE", 2),
            block(24, 5, 48, 24, True, "HS", 1),
            block(24, 5, 56, 32, True, "HS", 2),
        ],
        last_channel=48,
    )
    network.classifier = nn.Sequential(*list(network.classifier)[:2])  # Linear, Hardswish: the feature people take
    return network, (2, 3, 48, 48)


@family
def efficientnet():
    network = tv.EfficientNet(
        [
            MBConvConfig(1, 3, 1, 8, 8, 1, 1.0, 1.0),
            MBConvConfig(4, 3, 2, 8, 16, 1, 1.0, 1.0),
            MBConvConfig(4, 5, 2, 16, 16, 2, 1.0, 1.0),
            MBConvConfig(6, 3, 2, 16, 24, 1, 1.0, 1.0),
        ],
        dropout=0.2,
        last_channel=64,
    )
    return without_classifier(network, "classifier"), (2, 3, 48, 48)


@family
def efficientnet_v2():
    network = tv.EfficientNet(
        [
            FusedMBConvConfig(1, 3, 1, 8, 8, 1),
            FusedMBConvConfig(4, 3, 2, 8, 16, 1),
            MBConvConfig(4, 3, 2, 16, 16, 2, 1.0, 1.0),
        ],
        dropout=0.2,
        last_channel=48,
    )
    return without_classifier(network, "classifier"), (2, 3, 32, 32)


@family
def regnet_y():
    network = tv.RegNet(
        BlockParams(
            depths=[1, 2, 1],
            widths=[16, 24, 32],
            group_widths=[8, 8, 16],
            bottleneck_multipliers=[1.0, 1.0, 1.0],
            strides=[2, 2, 2],
            se_ratio=0.25,
        ),
        stem_width=8,
    )
    return without_classifier(network, "fc"), (2, 3, 48, 48)


@family
def densenet():
    network = tv.DenseNet(growth_rate=6, block_config=(2, 3), num_init_features=12, bn_size=2)
    return without_classifier(network, "classifier"), (2, 3, 40, 40)


@family
def shufflenet_v2():
    network = tv.ShuffleNetV2([2, 2, 2], [8, 16, 24, 32, 48])
    return without_classifier(network, "fc"), (2, 3, 64, 64)


@family
def convnext():
    """torchvision's: permutes around the pointwise layers, per-channel scale, LayerNorm over channels."""
    network = tv.ConvNeXt(
        [CNBlockConfig(12, 16, 1), CNBlockConfig(16, 24, 1), CNBlockConfig(24, 32, 1), CNBlockConfig(32, None, 1)]
    )
    network.classifier = nn.Sequential(*list(network.classifier)[:2])  # LayerNorm2d, Flatten
    return network, (2, 3, 32, 32)


@family
def convnext_v2():
    """timm's, with global response normalization; the feature is the map before pooling."""
    network = timm.create_model("convnextv2_atto", depths=(1, 1, 1, 1), dims=(8, 12, 16, 24), num_classes=0)
    return Take(network, method="forward_features"), (2, 3, 64, 64)


@family
def vit():
    """timm's; fed patches of 8 px; the feature is the class token after the last norm."""
    network = timm.create_model(
        "vit_tiny_patch16_224", img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=2, num_classes=0
    )
    return network, (2, 3, 32, 32)


@family
def vit_relpos():
    """timm's, with a relative position bias, layer scale, and the average of the tokens as feature."""
    network = timm.create_model(
        "vit_relpos_small_patch16_224",
        img_size=32,
        patch_size=8,
        embed_dim=24,
        depth=2,
        num_heads=2,
        init_values=1e-2,
        num_classes=0,
    )
    return network, (2, 3, 32, 32)


@family
def deit_distilled():
    network = timm.create_model(
        "deit_tiny_distilled_patch16_224", img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=3
    )
    return Take(network, method="forward_features"), (2, 3, 32, 32)  # all tokens: [batch, 2 + 16, 24]


@family
def torchvision_vit():
    """torchvision's: nn.MultiheadAttention."""
    network = tv.VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64
    )
    return without_classifier(network, "heads"), (2, 3, 32, 32)


@family
def eva02():
    """timm's: rotary position embedding, SwiGLU, the average of the patches."""
    network = timm.create_model(
        "eva02_tiny_patch14_224", img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=2, num_classes=0
    )
    return network, (2, 3, 32, 32)


@family
def swin():
    """Two window sizes' worth of tokens a side, so that the second block of a stage shifts and masks."""
    network = tv.SwinTransformer(
        patch_size=[4, 4], embed_dim=16, depths=[2, 1], num_heads=[2, 4], window_size=[4, 4], num_classes=10
    )
    return without_classifier(network, "head"), (2, 3, 32, 32)


@family
def swin_v2():
    """Cosine attention, continuous position bias; 28 px pad to whole windows."""
    network = tv.SwinTransformer(
        patch_size=[4, 4],
        embed_dim=16,
        depths=[2, 1],
        num_heads=[2, 2],
        window_size=[4, 4],
        block=SwinTransformerBlockV2,
        downsample_layer=PatchMergingV2,
    )
    return without_classifier(network, "head"), (2, 3, 28, 28)


@family
def mobilevit_xxs():
    """Convolutions, and attention over pixels that hold the same place in their patches."""
    config = byobnet.ByoModelCfg(
        blocks=(
            mobilevit._inverted_residual_block(d=1, c=8, s=1, br=2.0),
            mobilevit._inverted_residual_block(d=1, c=12, s=2, br=2.0),
            mobilevit._mobilevit_block(d=1, c=16, s=2, transformer_dim=24, transformer_depth=2, patch_size=2, br=2.0),
        ),
        stem_chs=8,
        stem_type="3x3",
        stem_pool="",
        downsample="",
        act_layer="silu",
        num_features=32,
        fixed_input_size=False,
    )
    return byobnet.ByobNet(config, num_classes=0), (2, 3, 48, 48)


@family
def fastvit():
    """Training-time branches kept apart, large depthwise kernels, attention in the last stage."""
    network = timm.create_model(
        "fastvit_sa12", layers=(1, 1, 1, 1), embed_dims=(4, 8, 16, 32), mlp_ratios=(2, 2, 2, 2), num_classes=0
    )
    return network, (2, 3, 64, 64)


@family
def clip():
    config = transformers.CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
        projection_dim=16,
    )
    return Take(transformers.CLIPVisionModelWithProjection(config), "image_embeds"), (2, 3, 32, 32)


@family
def siglip():
    """The feature comes from a head that attends with a learned probe."""
    config = transformers.SiglipVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
    )
    return Take(transformers.SiglipVisionModel(config), "pooler_output"), (2, 3, 32, 32)


@family
def dinov2():
    """Position embeddings made for 32 px, resized to those of 40 px; the feature is every token."""
    config = transformers.Dinov2Config(
        hidden_size=32, mlp_ratio=2, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8
    )
    return Take(transformers.Dinov2Model(config), "last_hidden_state"), (2, 3, 40, 40)


class Patchwork(nn.Module):
    """What the families above leave out: odd pads, other pools, norms, resizes and transposed convolutions."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 3, stride=2, padding=1)
        self.group_norm = nn.GroupNorm(3, 12)
        self.instance_norm = nn.InstanceNorm2d(12, affine=True, track_running_stats=False)
        self.prelu = nn.PReLU(12)
        self.up = nn.ConvTranspose2d(12, 8, 3, stride=2, padding=1, output_padding=1, groups=2)
        self.up_dilated = nn.ConvTranspose2d(8, 8, (2, 3), stride=1, dilation=2, bias=False)
        self.mix = nn.Parameter(torch.empty(8, 10))
        self.shuffled = nn.Conv2d(40, 12, (3, 1), padding=(1, 0))
        self.head = nn.Linear(12, 20)
        self.bilinear = nn.Parameter(torch.empty(20, 12))

    def forward(self, x):
        x = self.prelu(self.group_norm(self.stem(F.pad(x, (1, 2, 0, 3), mode="reflect"))))
        x = F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-2.0), 3, stride=2, ceil_mode=True)
        x = F.elu(self.instance_norm(x))
        y = F.interpolate(x, scale_factor=2.0, mode="nearest")
        x = F.leaky_relu(self.up(x), 0.1)
        x = x + F.avg_pool2d(y, 3, stride=1, padding=1)[:, :8]
        x = F.hardsigmoid(self.up_dilated(F.pad(x, (1, 1, 1, 0), mode="replicate"))) * 2
        x = F.interpolate(x, size=(16, 12), mode="bilinear", align_corners=False)
        x = torch.einsum("nchw,ck->nhwk", x, self.mix).permute(0, 3, 1, 2)
        x = F.avg_pool2d(x, (3, 2), stride=(2, 1), padding=(1, 0), count_include_pad=False, ceil_mode=True)
        x = F.interpolate(x, size=(12, 14), mode="bicubic", align_corners=True)
        x = F.softplus(self.shuffled(F.pixel_unshuffle(x, 2)))
        x = torch.cat([x[:, ::2], x[:, 1::2].flip(1)], 1)
        x = x.tanh() + x.exp().clamp(max=3.0).sqrt() / (1 + x.abs())
        x = torch.stack([x.amax((2, 3)), x.mean((2, 3)), x.std((2, 3))], 1)
        x = F.mish(self.head(x)).transpose(1, 2)
        weight = x.softmax(1)
        x = (weight * x).sum(2)
        return torch.cat([F.normalize(x, dim=1), torch.einsum("ni,ij->nj", x, self.bilinear).erf()], 1)


@family
def patchwork():
    return Patchwork(), (2, 3, 27, 30)


class Modern(nn.Module):
    """The operators that ONNX gained in opsets 17 to 23: attention, root-mean-square and group norm, GELUs."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 32, 8, stride=8)
        self.group_norm = nn.GroupNorm(4, 32)
        self.norm1 = nn.RMSNorm(32, eps=1e-5)
        self.qkv = nn.Linear(32, 64)
        self.project = nn.Linear(32, 32)
        self.norm2 = nn.LayerNorm(32)
        self.rise, self.fall = nn.Linear(32, 48), nn.Linear(48, 32)
        self.norm3 = nn.RMSNorm(32, eps=1e-6)
        self.bias = nn.Parameter(torch.empty(1, 4, 16, 16))
        angles = torch.arange(16)[None, :, None] * torch.tensor([1.0, 0.5, 0.25, 0.125])
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def rotated(self, x):
        """Pairs (x_i, x_{i+d/2}) turned by the angle of their place; the ONNX operator has no gradient in PyTorch."""
        if torch.onnx.is_in_onnx_export():
            cos, sin = (t.expand(x.shape[0], -1, -1) for t in (self.cos, self.sin))
            return torch.onnx.ops.rotary_embedding(x, cos, sin)
        a, b = x.chunk(2, -1)
        return torch.cat([a * self.cos - b * self.sin, b * self.cos + a * self.sin], -1)

    def forward(self, x):
        x = F.gelu(self.group_norm(self.patch(x)), approximate="tanh").flatten(2).transpose(1, 2)
        # Four heads of queries share two of keys and values.
        q, k, v = self.qkv(self.norm1(x)).split([32, 16, 16], 2)
        q, k, v = (t.unflatten(2, (-1, 8)).transpose(1, 2) for t in (q, k, v))
        q, k = self.rotated(q), self.rotated(k)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias, scale=0.5, enable_gqa=True)
        x = x + self.project(y.transpose(1, 2).flatten(2))
        x = x + self.fall(F.gelu(self.rise(self.norm2(x))))
        return self.norm3(x).mean(1)


@family
def modern():
    return Modern(), (2, 3, 32, 32)
