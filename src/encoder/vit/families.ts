import { imageStatistics } from "../../images/image-statistics.ts";
import type { Preprocessing } from "../../images/preprocess.ts";
import { usual, type VisionTransformer } from "./description.ts";
import { clipNames, dinov2Names, dinov3Names, type NameMap, siglipNames, vitNames } from "./names.ts";

/** The keys of a Hugging Face config.json (of its vision part) that say how large a Vision Transformer is. */
export interface Sizes {
  readonly hidden_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly image_size: number | readonly [number, number];
  readonly patch_size: number | readonly [number, number];
  readonly hidden_act: string;
  readonly layer_norm_eps: number;
}

/** Further keys, which some families have. */
export interface Extras {
  readonly intermediate_size?: number;
  readonly mlp_ratio?: number;
  readonly qkv_bias?: boolean;
  readonly query_bias?: boolean;
  readonly key_bias?: boolean;
  readonly value_bias?: boolean;
  readonly proj_bias?: boolean;
  readonly mlp_bias?: boolean;
  readonly use_swiglu_ffn?: boolean;
  readonly use_gated_mlp?: boolean;
  readonly num_register_tokens?: number;
  readonly rope_theta?: number;
  readonly projection_dim?: number;
  readonly vision_use_head?: boolean;
  readonly pooler_output_size?: number | null;
  readonly num_patches?: number;
}

/** A family of Hugging Face transformers: what its config.json leaves out, how it is built, what its parts are called. */
export interface Family {
  readonly name: string;
  /** `model_type` of the configurations it is read from, with those that hold it in `vision_config`. */
  readonly modelTypes: readonly string[];
  /** What the reference's configuration class puts where config.json says nothing. */
  readonly defaults: Sizes & Extras;
  readonly switches: Partial<VisionTransformer>;
  /** What a configuration's further keys switch. */
  readonly read?: (config: Sizes & Extras, modelType: string) => Partial<VisionTransformer>;
  readonly names: NameMap;
  /** The reference's preprocessing where there is no preprocessor_config.json, for images of `side` pixels. */
  readonly preprocessing: (side: number) => Preprocessing;
  /** What differs where the file is that of a classifier (…ForImageClassification): the feature is what that sees. */
  readonly classifier?: Partial<VisionTransformer>;
}

const { imagenet, openai, halves } = imageStatistics;

/** Shorter edge to `ratio` of the side, then the center. */
function cropped(
  side: number,
  ratio: number,
  statistics: typeof imagenet | typeof openai | typeof halves,
): Preprocessing {
  return {
    resize: Math.round(side * ratio),
    crop: [side, side],
    interpolation: "bicubic",
    cropOffset: "floor",
    mean: [...statistics.mean],
    std: [...statistics.std],
  };
}

/** Exactly the side in both directions, whatever the aspect. */
function squeezed(
  side: number,
  interpolation: Preprocessing["interpolation"],
  statistics: typeof imagenet | typeof halves,
): Preprocessing {
  return { ...cropped(side, 1, statistics), resize: [side, side], interpolation };
}

const base = {
  hidden_size: 768,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  intermediate_size: 3072,
  image_size: 224,
  patch_size: 16,
  hidden_act: "gelu",
};

/** DINOv2's: its positions belong to 518 pixels, and its reference shows it 224 all the same. */
const dinov2Preprocessing = (side: number): Preprocessing =>
  cropped(side === 518 ? 224 : side, 256 / 224, imagenet);

const qkvBias = ({ qkv_bias: bias = true }: Extras): Partial<VisionTransformer> => ({
  queryBias: bias,
  keyBias: bias,
  valueBias: bias,
});

/** The MLP of DINOv2: plain, or SwiGLU with two thirds of the features, rounded up to a multiple of 8. */
function dinov2Mlp(config: Sizes & Extras): Partial<VisionTransformer> {
  const hidden = Math.trunc(config.hidden_size * (config.mlp_ratio ?? 4));
  return config.use_swiglu_ffn
    ? { mlp: "packed", activation: "silu", hidden: Math.ceil(Math.trunc((hidden * 2) / 3) / 8) * 8 }
    : { hidden };
}

const siglip: Omit<Family, "name" | "modelTypes"> = {
  defaults: { ...base, hidden_act: "gelu_pytorch_tanh", layer_norm_eps: 1e-6 },
  switches: { classToken: false, position: { prefix: 0, resampling: "bicubic" } },
  read: (config) =>
    config.vision_use_head === false
      ? { pooling: "mean" }
      : {
          pooling: "attention",
          attentionPool: { qkv: "fused", hidden: config.intermediate_size ?? 4 * config.hidden_size },
        },
  names: siglipNames,
  preprocessing: (side) => squeezed(side, "bilinear", halves),
  classifier: { pooling: "mean" },
};

/** Every family that is read from a Hugging Face config.json. A new one is a row here and a map in names.ts. */
export const families: readonly Family[] = [
  {
    name: "CLIP",
    modelTypes: ["clip", "clip_vision_model"],
    defaults: {
      ...base,
      patch_size: 32,
      hidden_act: "quick_gelu",
      layer_norm_eps: 1e-5,
      projection_dim: 512,
    },
    switches: { patchBias: false, preNorm: true, finalNorm: "class" },
    read: ({ projection_dim: size = 512 }, modelType) => ({
      projection: { size, required: modelType === "clip" },
    }),
    names: clipNames,
    preprocessing: (side) => cropped(side, 1, openai),
    classifier: { pooling: "mean", projection: undefined },
  },
  {
    name: "DINOv2",
    modelTypes: ["dinov2"],
    defaults: { ...base, patch_size: 14, layer_norm_eps: 1e-6, mlp_ratio: 4 },
    switches: { layerScale: true },
    read: (config) => ({ ...dinov2Mlp(config), ...qkvBias(config) }),
    names: dinov2Names,
    preprocessing: dinov2Preprocessing,
    classifier: { pooling: "cls and mean" },
  },
  {
    name: "DINOv2 with registers",
    modelTypes: ["dinov2_with_registers"],
    defaults: { ...base, layer_norm_eps: 1e-6, mlp_ratio: 4, num_register_tokens: 4 },
    // The registers come in behind the class token after positions were added.
    switches: { layerScale: true, position: { prefix: 1, resampling: "bicubic-antialias" } },
    read: (config) => ({
      ...dinov2Mlp(config),
      ...qkvBias(config),
      registers: config.num_register_tokens ?? 4,
    }),
    names: dinov2Names,
    preprocessing: dinov2Preprocessing,
    classifier: { pooling: "cls and mean" },
  },
  {
    name: "DINOv3",
    modelTypes: ["dinov3_vit"],
    defaults: {
      ...base,
      hidden_size: 384,
      num_attention_heads: 6,
      intermediate_size: 1536,
      layer_norm_eps: 1e-5,
      rope_theta: 100,
      key_bias: false,
    },
    switches: { layerScale: true, position: undefined },
    read: (config) => ({
      registers: config.num_register_tokens ?? 0,
      queryBias: config.query_bias ?? true,
      keyBias: config.key_bias ?? false,
      valueBias: config.value_bias ?? true,
      outBias: config.proj_bias ?? true,
      mlpBias: config.mlp_bias ?? true,
      mlp: config.use_gated_mlp ? "gated" : "plain",
      rotary: { coordinates: "centered", base: config.rope_theta ?? 100, pairs: "halves" },
    }),
    names: dinov3Names,
    preprocessing: (side) => squeezed(side, "bilinear", imagenet),
  },
  { ...siglip, name: "SigLIP", modelTypes: ["siglip", "siglip_vision_model"] },
  {
    ...siglip,
    name: "SigLIP2 (NaFlex)",
    modelTypes: ["siglip2", "siglip2_vision_model"],
    defaults: { ...siglip.defaults, num_patches: 256 },
    switches: {
      ...siglip.switches,
      patchWeights: "matrix",
      position: { prefix: 0, resampling: "bilinear-antialias" },
    },
    // Positions belong to a square of `num_patches`; there is no image_size.
    read: (config, modelType) => {
      const side = Math.round(Math.sqrt(config.num_patches ?? 256));
      const patch = typeof config.patch_size === "number" ? config.patch_size : config.patch_size[0];
      return { ...siglip.read!(config, modelType), image: [side * patch, side * patch] };
    },
  },
  {
    name: "ViT",
    modelTypes: ["vit"],
    defaults: { ...base, layer_norm_eps: 1e-12 },
    switches: {},
    read: (config) => ({ ...qkvBias(config), pooler: config.pooler_output_size ?? config.hidden_size }),
    names: vitNames,
    preprocessing: (side) => squeezed(side, "bilinear", halves),
  },
  {
    name: "DeiT",
    modelTypes: ["deit"],
    defaults: { ...base, layer_norm_eps: 1e-12 },
    switches: { distillationToken: true, position: { prefix: 2, resampling: "bicubic" } },
    read: (config) => ({ ...qkvBias(config), pooler: config.pooler_output_size ?? config.hidden_size }),
    names: vitNames,
    preprocessing: (side) => cropped(side, 256 / 224, imagenet),
  },
  {
    name: "MAE",
    modelTypes: ["vit_mae"],
    defaults: { ...base, layer_norm_eps: 1e-12 },
    switches: {},
    read: qkvBias,
    names: vitNames,
    preprocessing: (side) => squeezed(side, "bicubic", imagenet),
  },
];

const pair = (size: number | readonly [number, number]): readonly [number, number] =>
  typeof size === "number" ? [size, size] : size;

/** The Vision Transformer of a family at a configuration's sizes. */
export function describe(
  family: Family,
  config: Sizes & Extras,
  modelType: string,
  activation: VisionTransformer["activation"],
  isClassifier: boolean,
): VisionTransformer {
  return {
    ...usual,
    family: family.name,
    image: pair(config.image_size),
    patch: pair(config.patch_size)[0],
    width: config.hidden_size,
    depth: config.num_hidden_layers,
    heads: config.num_attention_heads,
    hidden: config.intermediate_size ?? 4 * config.hidden_size,
    epsilon: config.layer_norm_eps,
    activation,
    ...family.switches,
    ...family.read?.(config, modelType),
    ...(isClassifier ? family.classifier : {}),
  };
}
