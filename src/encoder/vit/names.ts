/**
 * The names that each layout of files gives to the parts of a Vision Transformer. A part that has `.weight` and
 * `.bias` is named once; one that is a separate tensor is named in full. `{}` is the number of the block.
 */
export interface NameMap {
  /** What may stand before all names (the image tower of a model with more in it); the first that fits. */
  readonly prefixes: readonly string[];
  /** What stands before the names of a block; the first that fits. */
  readonly blocks: readonly string[];
  readonly parts: Readonly<Record<string, string>>;
  readonly blockParts: Readonly<Record<string, string>>;
  /** Beginnings of the names of tensors that are known and not needed: other towers, decoders, classifiers. */
  readonly ignored: readonly string[];
}

const clipBlock = {
  norm1: "layer_norm1",
  q: "self_attn.q_proj",
  k: "self_attn.k_proj",
  v: "self_attn.v_proj",
  out: "self_attn.out_proj",
  norm2: "layer_norm2",
  up: "mlp.fc1",
  down: "mlp.fc2",
};

export const clipNames: NameMap = {
  prefixes: ["vision_model.", ""],
  blocks: ["encoder.layers.{}."],
  parts: {
    patch: "embeddings.patch_embedding",
    class: "embeddings.class_embedding",
    position: "embeddings.position_embedding.weight",
    preNorm: "pre_layrnorm",
    norm: "post_layernorm",
    projection: "visual_projection",
  },
  blockParts: clipBlock,
  ignored: [
    "text_model.",
    "text_projection.",
    "logit_scale",
    "logit_bias",
    "embeddings.position_ids",
    "classifier.",
  ],
};

export const siglipNames: NameMap = {
  ...clipNames,
  parts: {
    patch: "embeddings.patch_embedding",
    position: "embeddings.position_embedding.weight",
    norm: "post_layernorm",
    "pool.query": "head.probe",
    "pool.qkv.weight": "head.attention.in_proj_weight",
    "pool.qkv.bias": "head.attention.in_proj_bias",
    "pool.out": "head.attention.out_proj",
    "pool.norm": "head.layernorm",
    "pool.up": "head.mlp.fc1",
    "pool.down": "head.mlp.fc2",
  },
};

const vitParts = {
  patch: "embeddings.patch_embeddings.projection",
  class: "embeddings.cls_token",
  distillation: "embeddings.distillation_token",
  registers: "embeddings.register_tokens",
  position: "embeddings.position_embeddings",
  norm: "layernorm",
  pooler: "pooler.dense",
};

const vitAttention = {
  q: "attention.attention.query",
  k: "attention.attention.key",
  v: "attention.attention.value",
  out: "attention.output.dense",
};

/** ViT, DeiT and MAE of Hugging Face transformers. */
export const vitNames: NameMap = {
  prefixes: ["vit.", "deit.", ""],
  blocks: ["encoder.layer.{}."],
  parts: vitParts,
  blockParts: {
    ...vitAttention,
    norm1: "layernorm_before",
    norm2: "layernorm_after",
    up: "intermediate.dense",
    down: "output.dense",
  },
  ignored: [
    "decoder.",
    "classifier.",
    "cls_classifier.",
    "distillation_classifier.",
    "embeddings.mask_token",
    "pooler.",
  ],
};

export const dinov2Names: NameMap = {
  prefixes: ["dinov2.", "dinov2_with_registers.", ""],
  blocks: ["encoder.layer.{}."],
  parts: vitParts,
  blockParts: {
    ...vitAttention,
    norm1: "norm1",
    scale1: "layer_scale1.lambda1",
    norm2: "norm2",
    up: "mlp.fc1",
    packed: "mlp.weights_in",
    down: "mlp.fc2",
    packedDown: "mlp.weights_out",
    scale2: "layer_scale2.lambda1",
  },
  ignored: ["embeddings.mask_token", "classifier."],
};

export const dinov3Names: NameMap = {
  prefixes: ["dinov3_vit.", ""],
  blocks: ["layer.{}.", "model.layer.{}."],
  parts: {
    patch: "embeddings.patch_embeddings",
    class: "embeddings.cls_token",
    registers: "embeddings.register_tokens",
    norm: "norm",
  },
  blockParts: {
    norm1: "norm1",
    q: "attention.q_proj",
    k: "attention.k_proj",
    v: "attention.v_proj",
    out: "attention.o_proj",
    scale1: "layer_scale1.lambda1",
    norm2: "norm2",
    gate: "mlp.gate_proj",
    value: "mlp.up_proj",
    up: "mlp.up_proj",
    down: "mlp.down_proj",
    scale2: "layer_scale2.lambda1",
  },
  ignored: ["embeddings.mask_token", "rope_embeddings.", "classifier."],
};

/** timm's VisionTransformer (ViT, DeiT, MAE, MoCo-v3, DINOv2, CLIP, SigLIP towers). */
export const timmNames: NameMap = {
  prefixes: [""],
  blocks: ["blocks.{}."],
  parts: {
    patch: "patch_embed.proj",
    class: "cls_token",
    distillation: "dist_token",
    registers: "reg_token",
    position: "pos_embed",
    preNorm: "norm_pre",
    norm: "norm",
    pooledNorm: "fc_norm",
    "pool.query": "attn_pool.latent",
    "pool.q": "attn_pool.q",
    "pool.kv": "attn_pool.kv",
    "pool.out": "attn_pool.proj",
    "pool.norm": "attn_pool.norm",
    "pool.up": "attn_pool.mlp.fc1",
    "pool.down": "attn_pool.mlp.fc2",
  },
  blockParts: {
    norm1: "norm1",
    qkv: "attn.qkv",
    out: "attn.proj",
    scale1: "ls1.gamma",
    norm2: "norm2",
    up: "mlp.fc1",
    packed: "mlp.fc1",
    down: "mlp.fc2",
    packedDown: "mlp.fc2",
    scale2: "ls2.gamma",
  },
  ignored: ["head.", "head_dist.", "mask_token", "decoder_", "pre_logits."],
};

/** timm's Eva (EVA-02, DINOv3). */
export const timmEvaNames: NameMap = {
  ...timmNames,
  blockParts: {
    norm1: "norm1",
    qkv: "attn.qkv",
    q: "attn.q_proj",
    k: "attn.k_proj",
    v: "attn.v_proj",
    "q.apart": "attn.q_bias",
    "v.apart": "attn.v_bias",
    out: "attn.proj",
    scale1: "gamma_1",
    norm2: "norm2",
    up: "mlp.fc1",
    packed: "mlp.fc1",
    gate: "mlp.fc1_g",
    value: "mlp.fc1_x",
    mlpNorm: "mlp.norm",
    down: "mlp.fc2",
    packedDown: "mlp.fc2",
    scale2: "gamma_2",
  },
  ignored: ["head.", "mask_token", "lm_head.", "rope.", "attn.k_bias"],
};
