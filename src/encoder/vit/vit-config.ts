import * as z from "zod";
import { ModelError } from "../../errors.ts";
import type { Preprocessing } from "../../images/preprocess.ts";
import { activationOf, gridOf, type Size, type VisionTransformer } from "./description.ts";
import { describe, families } from "./families.ts";
import type { NameMap } from "./names.ts";
import { jsonOf, parsed } from "./preprocessor-json.ts";
import { type TimmArguments, timmArguments, timmFamilies, timmTransformer } from "./timm.ts";
import { requireKnownArguments } from "./timm-arguments.ts";
import { TimmPretrained, timmPreprocessing } from "./timm-preprocessing.ts";

/** What a config.json says: the model, the names of its tensors, and the preprocessing where nothing else says it. */
export interface TransformerConfig {
  readonly description: VisionTransformer;
  readonly names: NameMap;
  readonly preprocessing: Preprocessing;
}

/** No width, depth or side of a model that exists comes near this: larger ones are damage, and would be made room for. */
const most = 2 ** 16;
const count = z.int().positive().max(most);
const depth = z.int().positive().max(1024);
const sides = z.union([count, z.tuple([count, count])]);
const flag = z.boolean();
const ratio = z
  .number()
  .positive()
  .max(2 ** 20);

const Sizes = z.object({
  hidden_size: count.optional(),
  num_hidden_layers: depth.optional(),
  num_attention_heads: count.optional(),
  num_channels: z.literal(3, { error: "expected 3 channels (RGB)" }).optional(),
  image_size: sides.optional(),
  patch_size: sides.optional(),
  hidden_act: z.string().optional(),
  layer_norm_eps: ratio.optional(),
  intermediate_size: count.optional(),
  mlp_ratio: ratio.optional(),
  qkv_bias: flag.optional(),
  query_bias: flag.optional(),
  key_bias: flag.optional(),
  value_bias: flag.optional(),
  proj_bias: flag.optional(),
  mlp_bias: flag.optional(),
  use_swiglu_ffn: flag.optional(),
  use_gated_mlp: flag.optional(),
  num_register_tokens: z.int().nonnegative().max(most).optional(),
  rope_theta: ratio.optional(),
  projection_dim: count.optional(),
  vision_use_head: flag.optional(),
  pooler_output_size: count.nullish(),
  num_patches: count.optional(),
});

const HuggingFace = Sizes.extend({
  model_type: z.string(),
  architectures: z.array(z.string()).nullish(),
  vision_config: Sizes.optional(),
});

const Arguments = z.object({
  img_size: sides.optional(),
  patch_size: count.optional(),
  embed_dim: count.optional(),
  depth: depth.optional(),
  num_heads: count.optional(),
  mlp_ratio: ratio.optional(),
  qkv_bias: flag.optional(),
  init_values: ratio.nullish(),
  class_token: flag.optional(),
  reg_tokens: z.int().nonnegative().max(most).optional(),
  num_reg_tokens: z.int().nonnegative().max(most).optional(),
  no_embed_class: flag.optional(),
  pre_norm: flag.optional(),
  global_pool: z.string().optional(),
  pool_include_prefix: flag.optional(),
  act_layer: z.string().optional(),
  qkv_fused: flag.optional(),
  swiglu_mlp: flag.optional(),
  swiglu_align_to: z.int().nonnegative().max(most).optional(),
  use_abs_pos_emb: flag.optional(),
  scale_mlp: flag.optional(),
  ref_feat_shape: z.tuple([count, count]).optional(),
});
/** Those and whatever else a file has. */
const AnyArguments = Arguments.loose();

const Timm = z.object({
  architecture: z.string(),
  global_pool: z.string().optional(),
  model_args: AnyArguments.optional(),
  pretrained_cfg: TimmPretrained.optional(),
});
type Timm = z.infer<typeof Timm>;

/** Names of the families that are built here, for messages. */
function knownFamilies(): string {
  const types = families.map((f) => `${f.name} (${f.modelTypes.join(", ")})`).join("; ");
  return `Hugging Face model_type: ${types}. timm architecture: ${timmFamilies.join(", ")}`;
}

/**
 * Reads the config.json of a Vision Transformer: of Hugging Face transformers (`model_type`), of timm
 * (`architecture`), or the bare arguments of timm's constructor that model mixins save.
 * @param where the file's name in messages
 * @param has whether the weights hold a tensor of that name
 * @throws ModelError for a family that is not built here (naming those that are), and for values out of range
 */
export function readTransformerConfig(
  text: string,
  where: string,
  has: (tensor: string) => boolean,
): TransformerConfig {
  const json = jsonOf(text, where);
  const keys = new Set(typeof json === "object" && json !== null ? Object.keys(json) : []);
  if (keys.has("architecture")) return readTimm(parsed(Timm, json, where, "configurations"), where, has);
  if (keys.has("model_type"))
    return readHuggingFace(parsed(HuggingFace, json, where, "configurations"), where, has);
  if (["embed_dim", "depth", "num_heads"].every((key) => keys.has(key))) {
    const own = present(parsed(Arguments, json, where, "configurations")) as TimmArguments;
    requireKnownArguments(json as object, Object.keys(Arguments.shape), where, "");
    const { description, names } = timmArguments(own, has);
    return checked(
      { description, names, preprocessing: timmPreprocessing({}, description.image, where) },
      where,
    );
  }
  throw new ModelError(
    `${where} says neither model_type (Hugging Face transformers) nor architecture (timm), so that the family of the ` +
      `model is not known. Families built here: ${knownFamilies()}. Other models: export them to ONNX.`,
  );
}

function readHuggingFace(
  config: z.infer<typeof HuggingFace>,
  where: string,
  has: (tensor: string) => boolean,
): TransformerConfig {
  const { model_type: modelType, architectures, vision_config: tower, ...outer } = config;
  const family = families.find((f) => f.modelTypes.includes(modelType));
  if (family === undefined) throw unknownFamily(where, `model_type "${modelType}"`);
  // A model of images and texts has the image tower's sizes inside, and the shared space's outside.
  const own = tower === undefined ? outer : { ...tower, projection_dim: outer.projection_dim };
  const sizes = { ...family.defaults, ...present(own) };
  const activation = activationOf(sizes.hidden_act);
  if (activation === undefined) throw unknownActivation(where, sizes.hidden_act);
  const isClassifier =
    architectures?.some((name) => name.endsWith("ForImageClassification")) ?? has("classifier.weight");
  const description = describe(family, sizes, modelType, activation, isClassifier);
  const [height, width] = description.image;
  if (height !== width && description.position !== undefined)
    throw new ModelError(
      `${where} gives images of ${height} × ${width}; positions of squares alone are read here.`,
    );
  return checked({ description, names: family.names, preprocessing: family.preprocessing(height) }, where);
}

function readTimm(config: Timm, where: string, has: (tensor: string) => boolean): TransformerConfig {
  const { architecture, model_args: given = {}, pretrained_cfg: pretrained = {} } = config;
  requireKnownArguments(given, Object.keys(Arguments.shape), where, "model_args.");
  const size = pretrained.input_size;
  const own = {
    ...(config.global_pool === undefined ? {} : { global_pool: config.global_pool }),
    ...(size === undefined ? {} : { img_size: [size[1], size[2]] as const }),
    ...present(given),
  } as TimmArguments;
  const activation = own.act_layer;
  if (activation !== undefined && activationOf(activation) === undefined)
    throw unknownActivation(where, activation);
  const found = timmTransformer(architecture.split(".")[0], own, has);
  if (found === undefined) throw unknownFamily(where, `architecture "${architecture}"`);
  const pool = own.global_pool;
  if (pool !== undefined && !["token", "avg", "map", ""].includes(pool)) {
    throw new ModelError(
      `${where} pools with "${pool}", which is not built here. Known: token, avg, map; ` +
        "set global_pool to one of them.",
    );
  }
  // timm shows images of input_size, unless the model is of another size and takes no other.
  const { image } = found.description;
  const seen =
    pretrained.fixed_input_size && given.img_size ? { ...pretrained, input_size: undefined } : pretrained;
  return checked({ ...found, preprocessing: timmPreprocessing(seen, [image[0], image[1]], where) }, where);
}

/** Sizes that contradict each other are found here, before tensors are looked for. */
function checked(config: TransformerConfig, where: string): TransformerConfig {
  const { width, heads, rotary, image, patch } = config.description;
  const expected = rotary ? 4 : 1;
  if (width % heads !== 0 || (width / heads) % expected !== 0) {
    throw new ModelError(
      `${where} gives ${width} features to ${heads} heads. Expected a multiple of ${heads * expected}.`,
    );
  }
  requireFewPatches(where, config.description, config.preprocessing.crop);
  requireFewPatches(where, config.description, image);
  if (image.some((side) => side < patch))
    throw new ModelError(
      `${where} gives images of ${image.join(" × ")} pixels, smaller than a patch of ${patch}.`,
    );
  return config;
}

/** Most patches of an image: every one takes a row of the tables of positions. */
const mostPatches = 2 ** 18;

/** @throws ModelError where images of a size have more patches than any model takes */
export function requireFewPatches(where: string, v: VisionTransformer, size: Size): void {
  const [rows, columns] = gridOf(v, size);
  if (rows * columns <= mostPatches) return;
  throw new ModelError(
    `${where}: images of ${size.join(" × ")} pixels have ${rows * columns} patches of ${v.patch}; at most ${mostPatches} are ` +
      "taken. Check image_size, crop_size and patch_size.",
  );
}

/** An object without the keys that are undefined. */
function present<T extends object>(object: T): Partial<T> {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as Partial<T>;
}

function unknownFamily(where: string, what: string): ModelError {
  return new ModelError(
    `${where} is of a family that is not built here: ${what}. Families: ${knownFamilies()}. ` +
      "Other models: export them to ONNX and give the .onnx file.",
  );
}

function unknownActivation(where: string, name: string): ModelError {
  return new ModelError(
    `${where} names the activation "${name}". Known: gelu, quick_gelu, gelu_pytorch_tanh, silu. ` +
      "Other models: export them to ONNX and give the .onnx file.",
  );
}
