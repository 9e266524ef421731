import { activationOf, usual, type VisionTransformer } from "./description.ts";
import { type NameMap, timmEvaNames, timmNames } from "./names.ts";

/** Arguments of timm's VisionTransformer and Eva constructors that are known here, under timm's names. */
export interface TimmArguments {
  readonly img_size?: number | readonly [number, number];
  readonly patch_size?: number;
  readonly embed_dim?: number;
  readonly depth?: number;
  readonly num_heads?: number;
  readonly mlp_ratio?: number;
  readonly qkv_bias?: boolean;
  readonly qkv_fused?: boolean;
  readonly init_values?: number | null;
  readonly class_token?: boolean;
  readonly reg_tokens?: number;
  readonly num_reg_tokens?: number;
  readonly no_embed_class?: boolean;
  readonly pre_norm?: boolean;
  readonly global_pool?: string;
  /** Whether a mean is over the class token and registers, too. */
  readonly pool_include_prefix?: boolean;
  readonly act_layer?: string;
  readonly swiglu_mlp?: boolean;
  readonly swiglu_align_to?: number;
  readonly scale_mlp?: boolean;
  readonly use_abs_pos_emb?: boolean;
  readonly ref_feat_shape?: readonly [number, number];
  /** ε of the normalization layers: no argument of timm's, but what its `norm_layer` stands for. */
  readonly epsilon?: number;
}

/** A row of the table of timm's architectures. */
interface Architecture {
  readonly family: string;
  /** What its names look like; group `size` is looked up in `sizes`. */
  readonly pattern: RegExp;
  readonly defaults: TimmArguments;
  readonly switches?: Partial<VisionTransformer>;
  readonly eva?: boolean;
}

/** Width, depth and heads by the word in an architecture's name. */
const sizes: Readonly<Record<string, TimmArguments>> = {
  tiny: { embed_dim: 192, depth: 12, num_heads: 3 },
  small: { embed_dim: 384, depth: 12, num_heads: 6 },
  medium: { embed_dim: 512, depth: 12, num_heads: 8 },
  base: { embed_dim: 768, depth: 12, num_heads: 12 },
  large: { embed_dim: 1024, depth: 24, num_heads: 16 },
  huge: { embed_dim: 1280, depth: 32, num_heads: 16 },
  so400m: { embed_dim: 1152, depth: 27, num_heads: 16, mlp_ratio: 3.7362 },
};

const swiglu = { swiglu_mlp: true, mlp_ratio: (4 * 2) / 3 };
const dinov3 = {
  global_pool: "avg",
  init_values: 1e-5,
  num_reg_tokens: 4,
  use_abs_pos_emb: false,
  epsilon: 1e-5,
};
const centered = {
  position: undefined,
  rotary: { coordinates: "centered", base: 100, pairs: "halves" },
} as const satisfies Partial<VisionTransformer>;
const evaRotary = {
  rotary: { coordinates: "index", base: 10000, pairs: "interleaved", reference: [16, 16] },
} as const satisfies Partial<VisionTransformer>;

/** timm's architectures, the most particular first. Any size of an architecture is the same row. */
const architectures: readonly Architecture[] = [
  {
    family: "EVA-02",
    pattern: /^eva02_(?<size>tiny|small)_patch(?<patch>14)_(?<side>\d+)$/,
    defaults: { ...swiglu, global_pool: "avg" },
    switches: evaRotary,
    eva: true,
  },
  {
    family: "EVA-02",
    pattern: /^eva02_(?<size>base|large)_patch(?<patch>14)_(?<side>\d+)$/,
    defaults: { ...swiglu, global_pool: "avg", qkv_fused: false, scale_mlp: true },
    switches: evaRotary,
    eva: true,
  },
  {
    family: "DINOv3",
    pattern: /^vit_(?<size>tiny|small|base|large)_patch(?<patch>16)_dinov3_qkvb$/,
    defaults: dinov3,
    switches: centered,
    eva: true,
  },
  {
    family: "DINOv3",
    pattern: /^vit_(?<size>tiny|small|base|large)_patch(?<patch>16)_dinov3$/,
    defaults: { ...dinov3, qkv_bias: false },
    switches: centered,
    eva: true,
  },
  {
    family: "DINOv2",
    pattern: /^vit_(?<size>small|base|large)_patch(?<patch>14)_dinov2$/,
    defaults: { init_values: 1e-5, img_size: 518 },
  },
  {
    family: "DINOv2 with registers",
    pattern: /^vit_(?<size>small|base|large)_patch(?<patch>14)_reg4_dinov2$/,
    defaults: { init_values: 1e-5, img_size: 518, reg_tokens: 4, no_embed_class: true },
  },
  {
    family: "CLIP",
    pattern: /^vit_(?<size>medium|base|large|huge)_patch(?<patch>\d+)_clip_quickgelu_(?<side>\d+)$/,
    defaults: { pre_norm: true, epsilon: 1e-5, act_layer: "quick_gelu" },
  },
  {
    family: "CLIP",
    pattern: /^vit_(?<size>medium|base|large|huge)_patch(?<patch>\d+)_clip_(?<side>\d+)$/,
    defaults: { pre_norm: true, epsilon: 1e-5 },
  },
  // Those that timm gives the tanh form of GELU.
  {
    family: "SigLIP",
    pattern:
      /^vit_(?=so400m_patch16|base_patch32|large_patch16_siglip_512)(?<size>base|large|so400m)_patch(?<patch>\d+)_siglip_(?<side>\d+)$/,
    defaults: { class_token: false, global_pool: "map", act_layer: "gelu_tanh" },
  },
  {
    family: "SigLIP",
    pattern:
      /^vit_(?=so400m_patch16|base_patch32|large_patch16_siglip_gap_512)(?<size>base|large|so400m)_patch(?<patch>\d+)_siglip_gap_(?<side>\d+)$/,
    defaults: { class_token: false, global_pool: "avg", act_layer: "gelu_tanh" },
  },
  {
    family: "SigLIP",
    pattern: /^vit_(?<size>base|large|so400m)_patch(?<patch>\d+)_siglip_(?<side>\d+)$/,
    defaults: { class_token: false, global_pool: "map" },
  },
  {
    family: "SigLIP",
    pattern: /^vit_(?<size>base|large|so400m)_patch(?<patch>\d+)_siglip_gap_(?<side>\d+)$/,
    defaults: { class_token: false, global_pool: "avg" },
  },
  {
    family: "DeiT",
    pattern: /^deit_(?<size>tiny|small|base)_distilled_patch(?<patch>16)_(?<side>\d+)$/,
    defaults: {},
    switches: {
      distillationToken: true,
      position: { prefix: 2, resampling: "bicubic-antialias" },
      pooling: "prefix",
    },
  },
  {
    family: "DeiT",
    pattern: /^deit_(?<size>tiny|small|base)_patch(?<patch>16)_(?<side>\d+)$/,
    defaults: {},
  },
  {
    family: "DeiT III",
    pattern: /^deit3_(?<size>small|medium|base|large|huge)_patch(?<patch>\d+)_(?<side>\d+)$/,
    defaults: { no_embed_class: true, init_values: 1e-6 },
  },
  {
    family: "ViT",
    pattern: /^vit_(?<size>tiny|small|base|large|huge)_patch(?<patch>\d+)_(?<side>\d+)$/,
    defaults: {},
  },
];

/** Names of the families that timm's architectures here belong to. */
export const timmFamilies: readonly string[] = [...new Set(architectures.map((a) => a.family))];

export interface TimmTransformer {
  readonly description: VisionTransformer;
  readonly names: NameMap;
}

/**
 * The Vision Transformer that timm's name of an architecture stands for, or undefined for one that has no row.
 * @param name without the tag behind a dot
 * @param own arguments that config.json gives, which come before the architecture's
 * @param has whether the files hold a tensor of that name: timm calls the last normalization by where it stands
 */
export function timmTransformer(
  name: string,
  own: TimmArguments,
  has: (tensor: string) => boolean,
): TimmTransformer | undefined {
  for (const row of architectures) {
    const { groups } = row.pattern.exec(name) ?? {};
    if (groups === undefined) continue;
    const { size = "", patch, side } = groups;
    const defaults: TimmArguments = {
      patch_size: Number(patch),
      img_size: side === undefined ? 224 : Number(side),
      ...sizes[size],
      ...row.defaults,
    };
    return assemble(row.family, { ...defaults, ...own }, row.switches ?? {}, row.eva === true, has);
  }
  return undefined;
}

/** A Vision Transformer from the arguments of timm's constructor alone, as model mixins save them. */
export function timmArguments(own: TimmArguments, has: (tensor: string) => boolean): TimmTransformer {
  return assemble("ViT", own, {}, false, has);
}

function assemble(
  family: string,
  a: TimmArguments,
  switches: Partial<VisionTransformer>,
  eva: boolean,
  has: (tensor: string) => boolean,
): TimmTransformer {
  const { embed_dim: width = 768, patch_size: patch = 16, img_size: image = 224 } = a;
  const classToken = a.class_token ?? true;
  const registers = a.reg_tokens ?? a.num_reg_tokens ?? 0;
  const bias = a.qkv_bias ?? true;
  const { global_pool: globalPool = "token", swiglu_align_to: align = 0 } = a;
  const gatedHidden = Math.trunc(width * (a.mlp_ratio ?? 4));
  const gated = a.scale_mlp === true || align > 0;
  const hidden =
    a.swiglu_mlp === true && gated
      ? Math.ceil(gatedHidden / Math.max(1, align)) * Math.max(1, align)
      : gatedHidden;
  // Where tokens are averaged the normalization comes behind and is called fc_norm; a pre-training checkpoint of
  // EVA-02 that still calls it norm is read so by timm, too.
  const pretraining = eva && globalPool === "avg" && has("mask_token") && !has("fc_norm.weight");
  const afterPool = has("fc_norm.weight") || pretraining;
  const names = eva ? timmEvaNames : timmNames;
  const description: VisionTransformer = {
    ...usual,
    family,
    image: typeof image === "number" ? [image, image] : image,
    patch,
    width,
    depth: a.depth ?? 12,
    heads: a.num_heads ?? 12,
    hidden,
    epsilon: a.epsilon ?? 1e-6,
    activation: a.swiglu_mlp === true ? "silu" : (activationOf(a.act_layer ?? "gelu") ?? "gelu"),
    patchBias: a.pre_norm !== true,
    classToken,
    registers,
    position:
      a.use_abs_pos_emb === false
        ? undefined
        : {
            prefix: a.no_embed_class === true ? 0 : (classToken ? 1 : 0) + registers,
            resampling: "bicubic-antialias",
          },
    preNorm: a.pre_norm === true,
    qkv: a.qkv_fused === false ? "split" : eva ? "fused-apart-bias" : "fused",
    queryBias: bias,
    // Eva's keys have no bias.
    keyBias: bias && !eva,
    valueBias: bias,
    layerScale: a.init_values !== undefined && a.init_values !== null,
    mlp: a.swiglu_mlp === true ? (gated ? "gated" : "packed") : "plain",
    mlpNorm: a.scale_mlp === true,
    finalNorm: afterPool ? "pooled" : "tokens",
    pooling:
      globalPool === "avg"
        ? a.pool_include_prefix
          ? "all"
          : "mean"
        : globalPool === "map"
          ? "attention"
          : "cls",
    attentionPool: globalPool === "map" ? { qkv: "q-kv", hidden } : undefined,
    ...switches,
    ...(switches.rotary && a.ref_feat_shape
      ? { rotary: { ...switches.rotary, reference: a.ref_feat_shape } }
      : {}),
  };
  const renamed = pretraining ? { ...names, parts: { ...names.parts, pooledNorm: "norm" } } : names;
  return { description, names: renamed };
}
