import { ModelError } from "../../errors.ts";

/** Arguments that do not change what a trained model computes: sizes of heads, dropout, how weights were first drawn. */
const idle: ReadonlySet<string> = new Set([
  "num_classes",
  "drop_rate",
  "pos_drop_rate",
  "patch_drop_rate",
  "proj_drop_rate",
  "attn_drop_rate",
  "drop_path_rate",
  "weight_init",
  "fix_init",
  "head_init_scale",
  "dynamic_img_size",
  "strict_img_size",
  // How coordinates are disturbed in training.
  "rope_shift_coords",
  "rope_jitter_coords",
  "rope_rescale_coords",
  // The normalization in front of or behind the pooling has two names: the weights show which it is.
  "fc_norm",
  "use_fc_norm",
  // Of masked autoencoders.
  "decoder_embed_dim",
  "decoder_depth",
  "decoder_num_heads",
  "norm_pix_loss",
  // Of MoCo v3.
  "stop_grad_conv1",
]);

/** Arguments that change the model unless they have the value that it is built with here. */
const neutral: Readonly<Record<string, readonly unknown[]>> = {
  in_chans: [3],
  qk_norm: [false],
  scale_attn_norm: [false],
  scale_mlp_norm: [false],
  scale_attn_inner: [false],
  attn_only_layer_scale: [false],
  proj_bias: [true],
  pos_embed: ["learn"],
  final_norm: [true],
  dynamic_img_pad: [false],
  use_post_norm: [false],
  use_pre_transformer_norm: [false],
  use_naflex: [false],
  use_rot_pos_emb: [true],
  attn_type: ["eva"],
};

/**
 * Refuses arguments of timm's constructor whose effect is not built here.
 * @param heeded names that are
 * @param prefix what messages put before a name
 * @throws ModelError naming the first such argument and its value
 */
export function requireKnownArguments(
  given: object,
  heeded: readonly string[],
  where: string,
  prefix: string,
): void {
  const known = new Set(heeded);
  for (const [name, value] of Object.entries(given) as [string, unknown][]) {
    if (value === null || value === undefined || known.has(name) || idle.has(name)) continue;
    const allowed = Object.hasOwn(neutral, name) ? neutral[name] : undefined;
    if (allowed?.includes(value)) continue;
    throw new ModelError(
      `${where} has ${prefix}${name} ${JSON.stringify(value)}, which is not built here` +
        `${allowed ? ` (expected ${allowed.map((one) => JSON.stringify(one)).join(" or ")})` : ""}: the features would be ` +
        "others than timm's. Export the model to ONNX and give the .onnx file.",
    );
  }
}
