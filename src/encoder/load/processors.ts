import type { imageStatistics } from "../../images/image-statistics.ts";
/**
 * The image processors of Hugging Face transformers that are read here: what each does where its configuration is
 * silent, and which keys it heeds (transformers 5.23, `models/<name>/image_processing_<name>.py`).
 */

/** A size as configurations write it; one number is the shorter edge or both sides, as the class has it. */
export interface Sides {
  readonly height?: number;
  readonly width?: number;
  readonly shortest_edge?: number;
}

/** What a class does beyond resize, crop, rescale, normalize. */
export type Peculiarity =
  /** Below 384 pixels: the shorter edge to ⌊size / crop_pct⌋, then the center; else both sides to the size (ConvNeXt). */
  | "crop share below 384"
  /** A size is first divided by crop_pct and rounded down; a square one is then the shorter edge (PoolFormer). */
  | "divided by crop share"
  /** The shorter edge goes to ⌊256 / 224 · size⌋ (LeViT). */
  | "256 of 224"
  /** `include_top` divides once more by the standard deviation; `rescale_offset` subtracts 1 (EfficientNet). */
  | "normalizes twice"
  /** Whatever its configuration says, it does not normalize; `do_flip_channel_order` makes it BGR (MobileViT). */
  | "flips channels"
  /** Neither rescales nor normalizes, and always makes BGR (LayoutLMv2). */
  | "bare BGR"
  /** Keeps the aspect and counts patches: squares are shown whole, others squeezed to the same square (SigLIP 2). */
  | "patches of a square";

export interface ProcessorClass {
  /** What a size of one number means. */
  readonly number: "shortest edge" | "square";
  readonly size: Sides;
  /** Side of the center crop that it makes by default; undefined where it makes none unless asked to. */
  readonly crop?: number;
  /** Side of the crop where it is asked for one without a size. */
  readonly cropWhenAsked?: number;
  /** Pillow's number of the filter. */
  readonly resample: number;
  readonly statistics: keyof typeof imageStatistics;
  readonly normalizes?: false;
  readonly rescaleFactor?: number;
  readonly cropShare?: number;
  readonly peculiarity?: Peculiarity;
  /** Keys of its own that do not touch the pixels. */
  readonly idle?: readonly string[];
  /** Keys of its own that touch the pixels unless they have one of these values. */
  readonly only?: Readonly<Record<string, readonly unknown[]>>;
}

const square = (side: number): Sides => ({ height: side, width: side });
const shorter = (side: number): Sides => ({ shortest_edge: side });
const bilinear = 2;
const bicubic = 3;

const clip: ProcessorClass = {
  number: "shortest edge",
  size: shorter(224),
  crop: 224,
  resample: bicubic,
  statistics: "openai",
};
const vit: ProcessorClass = {
  number: "square",
  size: square(224),
  resample: bilinear,
  statistics: "halves",
};
const mobileNet: ProcessorClass = {
  number: "shortest edge",
  size: shorter(256),
  crop: 224,
  resample: bilinear,
  statistics: "halves",
};
const labels = ["do_reduce_labels", "reduce_labels"];
const ocr = ["apply_ocr", "ocr_lang", "tesseract_config"];

/** By name without ImageProcessor, ImageProcessorFast, ImageProcessorPil, FeatureExtractor. */
export const processorClasses: Readonly<Record<string, ProcessorClass>> = {
  Beit: { ...vit, cropWhenAsked: 224, resample: bicubic, idle: labels },
  Bit: clip,
  Blip: { ...vit, size: square(384), resample: bicubic, statistics: "openai" },
  Chameleon: {
    number: "shortest edge",
    size: shorter(512),
    crop: 512,
    resample: 1,
    statistics: "ones",
    rescaleFactor: 0.0078,
  },
  ChineseCLIP: clip,
  CLIP: clip,
  ConvNext: {
    number: "shortest edge",
    size: shorter(384),
    resample: bicubic,
    statistics: "halves",
    cropShare: 224 / 256,
    peculiarity: "crop share below 384",
  },
  DeiT: { ...vit, size: square(256), crop: 224, resample: bicubic },
  DINOv3ViT: { ...vit, statistics: "imagenet" },
  DPT: {
    ...vit,
    size: square(384),
    resample: bicubic,
    idle: [...labels, "size_divisor"],
    only: { keep_aspect_ratio: [false], ensure_multiple_of: [1] },
  },
  EfficientNet: {
    ...vit,
    size: square(346),
    cropWhenAsked: 289,
    resample: bicubic,
    peculiarity: "normalizes twice",
  },
  Flava: {
    ...vit,
    crop: 224,
    resample: bicubic,
    statistics: "openai",
    idle: [
      "return_image_mask",
      "input_size_patches",
      "total_mask_patches",
      "mask_group_min_patches",
      "mask_group_max_patches",
      "mask_group_min_aspect_ratio",
      "mask_group_max_aspect_ratio",
      "return_codebook_pixels",
      "codebook_do_resize",
      "codebook_size",
      "codebook_resample",
      "codebook_do_center_crop",
      "codebook_crop_size",
      "codebook_do_rescale",
      "codebook_rescale_factor",
      "codebook_do_map_pixels",
      "codebook_do_normalize",
      "codebook_image_mean",
      "codebook_image_std",
    ],
  },
  Gemma3: {
    ...vit,
    idle: ["pan_and_scan_min_crop_size", "pan_and_scan_max_num_crops", "pan_and_scan_min_ratio_to_activate"],
    only: { do_pan_and_scan: [false] },
  },
  LayoutLMv2: { ...vit, statistics: "none", peculiarity: "bare BGR", idle: ocr },
  LayoutLMv3: { ...vit, idle: ocr },
  Levit: { ...clip, statistics: "imagenet", peculiarity: "256 of 224" },
  Llava: clip,
  MobileNetV1: mobileNet,
  MobileNetV2: { ...mobileNet, idle: labels },
  MobileViT: {
    number: "shortest edge",
    size: shorter(224),
    crop: 256,
    resample: bicubic,
    statistics: "none",
    peculiarity: "flips channels",
    idle: labels,
  },
  OwlViT: { ...vit, size: square(768), cropWhenAsked: 768, resample: bicubic, statistics: "openai" },
  PoolFormer: {
    ...clip,
    statistics: "imagenet",
    cropShare: 0.9,
    peculiarity: "divided by crop share",
  },
  Pvt: { ...vit, resample: bicubic, statistics: "imagenet" },
  Segformer: { ...vit, size: square(512), statistics: "imagenet", idle: labels },
  SegGpt: { ...vit, size: square(448), resample: bicubic, statistics: "imagenet", idle: ["num_labels"] },
  Siglip: { ...vit, number: "shortest edge", resample: bicubic },
  Siglip2: { ...vit, peculiarity: "patches of a square" },
  Tipsv2: { ...vit, size: square(448), normalizes: false },
  ViT: vit,
};

/** The class that transformers takes for a model whose preprocessor_config.json names none. */
const byModel: Readonly<Record<string, string>> = {
  aimv2: "CLIP",
  aimv2_vision_model: "CLIP",
  align: "EfficientNet",
  altclip: "CLIP",
  beit: "Beit",
  bit: "Bit",
  blip: "Blip",
  "blip-2": "Blip",
  chinese_clip: "ChineseCLIP",
  clip: "CLIP",
  clip_vision_model: "CLIP",
  clipseg: "ViT",
  convnext: "ConvNext",
  convnextv2: "ConvNext",
  cvt: "ConvNext",
  "data2vec-vision": "Beit",
  deit: "DeiT",
  dinat: "ViT",
  dinov2: "Bit",
  dinov2_with_registers: "Bit",
  dinov3_vit: "DINOv3ViT",
  dpt: "DPT",
  efficientnet: "EfficientNet",
  flava: "Flava",
  focalnet: "Bit",
  groupvit: "CLIP",
  hiera: "Bit",
  ijepa: "ViT",
  layoutlmv3: "LayoutLMv3",
  levit: "Levit",
  metaclip_2: "CLIP",
  mlcd: "CLIP",
  mobilenet_v1: "MobileNetV1",
  mobilenet_v2: "MobileNetV2",
  mobilevit: "MobileViT",
  mobilevitv2: "MobileViT",
  owlvit: "OwlViT",
  poolformer: "PoolFormer",
  pvt: "Pvt",
  pvt_v2: "Pvt",
  regnet: "ConvNext",
  resnet: "ConvNext",
  segformer: "Segformer",
  siglip: "Siglip",
  siglip_vision_model: "Siglip",
  siglip2: "Siglip2",
  siglip2_vision_model: "Siglip2",
  swiftformer: "ViT",
  swin: "ViT",
  swinv2: "ViT",
  vit: "ViT",
  vit_mae: "ViT",
  vit_msn: "ViT",
  xclip: "CLIP",
};

/** The class for a `model_type`, where one is known. */
export const processorOfModel = (modelType: string): string | undefined =>
  Object.hasOwn(byModel, modelType) ? byModel[modelType] : undefined;

/** Keys that every class heeds. */
export const commonKeys: readonly string[] = [
  "do_resize",
  "size",
  "default_to_square",
  "resample",
  "do_center_crop",
  "crop_size",
  "do_rescale",
  "rescale_factor",
  "do_normalize",
  "image_mean",
  "image_std",
];

/** Further keys that a peculiarity heeds. */
export const peculiarKeys: Readonly<Record<Peculiarity, readonly string[]>> = {
  "crop share below 384": ["crop_pct"],
  "divided by crop share": ["crop_pct"],
  "256 of 224": [],
  "normalizes twice": ["rescale_offset", "include_top"],
  "flips channels": ["do_flip_channel_order"],
  "bare BGR": [],
  "patches of a square": ["patch_size", "max_num_patches"],
};

/** Keys that say nothing about the pixels: of what kind the file is, and how tensors are handed over. */
export const idleKeys: readonly string[] = [
  "image_processor_type",
  "feature_extractor_type",
  "processor_class",
  "auto_map",
  "do_convert_rgb",
  "data_format",
  "input_data_format",
  "return_tensors",
  "device",
  "disable_grouping",
  "image_seq_length",
  "num_channels",
  "use_fast",
  "transformers_version",
  "model_input_names",
  "_valid_processor_keys",
  "_valid_kwargs_names",
  "_processor_class",
];
