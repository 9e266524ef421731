/**
 * What one Vision Transformer is made of: every switch that the families differ in. `families.ts` and `timm.ts`
 * fill it from a config.json, `weights.ts` derives the tensors that must be there, `build.ts` emits the graph.
 */

export type Activation = "gelu" | "gelu-tanh" | "quick-gelu" | "silu";

/** Activations by the names that configurations of transformers and timm use. */
const activations: Readonly<Record<string, Activation>> = {
  gelu: "gelu",
  gelu_python: "gelu",
  quick_gelu: "quick-gelu",
  gelu_pytorch_tanh: "gelu-tanh",
  gelu_new: "gelu-tanh",
  gelu_tanh: "gelu-tanh",
  silu: "silu",
  swish: "silu",
};

/** The activation of a name in a configuration, or undefined where it is none that is known. */
export function activationOf(name: string): Activation | undefined {
  return Object.hasOwn(activations, name) ? activations[name] : undefined;
}

/** How a learned position embedding is brought to another grid, named as PyTorch's `interpolate` has it. */
export type Resampling = "bicubic" | "bicubic-antialias" | "bilinear-antialias";

/** Height and width, in pixels or patches. */
export type Size = readonly [number, number];

/** The rotation of queries and keys by the position of their patch (RoPE), in two dimensions. */
export interface Rotary {
  /**
   * Coordinates of a patch: `index`, rows and columns counted from 0, scaled to the `reference` grid where there is
   * one; `centered`, patch centers in [−1, 1], times 2π.
   */
  readonly coordinates: "index" | "centered";
  readonly reference?: Size;
  /** Base of the geometric series of frequencies. */
  readonly base: number;
  /** Which features of a head are turned together: neighbors, or i and i + half. */
  readonly pairs: "interleaved" | "halves";
}

/** How the token sequence becomes one vector. */
export type Pooling =
  | "cls"
  | "mean"
  /** The mean of the tokens before the patches. */
  | "prefix"
  /** The mean of all tokens. */
  | "all"
  /** The class token, and behind it the mean of the patches: 2·d numbers. */
  | "cls and mean"
  | "attention";

export interface VisionTransformer {
  /** The family's name, as shown to people. */
  readonly family: string;
  /** Image size in pixels that the position embedding belongs to. */
  readonly image: Size;
  readonly patch: number;
  /** d: features of a token. */
  readonly width: number;
  readonly depth: number;
  readonly heads: number;
  /** Features inside of a block's MLP (of the gate and of the value each, where it is gated). */
  readonly hidden: number;
  /** ε of every layer normalization. */
  readonly epsilon: number;
  readonly activation: Activation;

  /** Patches come as a convolution's weights [d, 3, p, p], or as a matrix [d, p·p·3] of pixels, channels last. */
  readonly patchWeights: "convolution" | "matrix";
  readonly patchBias: boolean;
  /** Tokens before those of the patches, in this order: a class token, a distillation token, registers. */
  readonly classToken: boolean;
  readonly distillationToken: boolean;
  readonly registers: number;
  /** A learned position embedding: how many of the prefix tokens it covers, and how it is resized. */
  readonly position: { readonly prefix: number; readonly resampling: Resampling } | undefined;
  readonly rotary: Rotary | undefined;
  /** A layer normalization before the first block. */
  readonly preNorm: boolean;

  /** Query, key and value weights: apart, or in one matrix; with separate biases for some of the three. */
  readonly qkv: "split" | "fused" | "fused-apart-bias";
  readonly queryBias: boolean;
  readonly keyBias: boolean;
  readonly valueBias: boolean;
  readonly outBias: boolean;
  readonly layerScale: boolean;
  /** `gated`: activation(gate(x))·value(x) with two matrices; `packed`: both in one, the gate first. */
  readonly mlp: "plain" | "gated" | "packed";
  readonly mlpBias: boolean;
  /** A layer normalization before the MLP's second matrix (EVA-02's sub-norm). */
  readonly mlpNorm: boolean;

  /** The last layer normalization: of all tokens, of the pooled vector, or of the class token alone. */
  readonly finalNorm: "tokens" | "pooled" | "class";
  readonly pooling: Pooling;
  /** An attention-pooling head: its weights as PyTorch's MultiheadAttention or as timm's pool has them. */
  readonly attentionPool: { readonly qkv: "fused" | "q-kv"; readonly hidden: number } | undefined;
  /** A dense layer with tanh on the class token (`pool: 'pooler'`), where the file has one. */
  readonly pooler: number | undefined;
  /** A last matrix into the shared space of images and texts. */
  readonly projection: { readonly size: number; readonly required: boolean } | undefined;
}

/** What most Vision Transformers have; a family says where it differs. */
export const usual = {
  activation: "gelu",
  patchWeights: "convolution",
  patchBias: true,
  classToken: true,
  distillationToken: false,
  registers: 0,
  position: { prefix: 1, resampling: "bicubic" },
  rotary: undefined,
  preNorm: false,
  qkv: "split",
  queryBias: true,
  keyBias: true,
  valueBias: true,
  outBias: true,
  layerScale: false,
  mlp: "plain",
  mlpBias: true,
  mlpNorm: false,
  finalNorm: "tokens",
  pooling: "cls",
  attentionPool: undefined,
  pooler: undefined,
  projection: undefined,
} as const satisfies Partial<VisionTransformer>;

/** Tokens before those of the patches. */
export function prefixTokens(v: VisionTransformer): number {
  return (v.classToken ? 1 : 0) + (v.distillationToken ? 1 : 0) + v.registers;
}

/** Rows and columns of patches of an image; what is left over at the right and bottom edges is not seen. */
export function gridOf(v: VisionTransformer, [height, width]: Size): Size {
  return [Math.floor(height / v.patch), Math.floor(width / v.patch)];
}
