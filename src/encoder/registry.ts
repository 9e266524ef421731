/** An encoder that a short name stands for. */
export interface KnownEncoder {
  readonly name: string;
  readonly family: string;
  /** Repository on the Hugging Face hub, as owner/name; undefined for what comes with the package. */
  readonly hub: string | undefined;
  /** d: length of the feature that is taken by default. */
  readonly featureSize: number;
  /** Side in pixels of the input by default. */
  readonly input: number;
  /** SPDX identifier, or the name of the model's own license, as its model card states it. */
  readonly license: string;
}

/** What stands for a license where the model card names none. */
export const unknownLicense = "see its model card";

/** What is taken where no encoder is named: it comes with the package. */
export const defaultEncoder = "efficientnet-lite0";

const clip = { family: "CLIP", featureSize: 512, input: 224, license: unknownLicense } as const;
const dinov2 = { family: "DINOv2", input: 224, license: "Apache-2.0" } as const;
const dinov3 = { family: "DINOv3", input: 224, license: "DINOv3 License" } as const;
const eva02 = { family: "EVA-02", input: 224, license: "MIT" } as const;
const mocov3 = { family: "MoCo-v3", input: 224, license: unknownLicense } as const;

/** Every short name, in the order in which `clp-dd encoders` lists them. */
export const knownEncoders: readonly KnownEncoder[] = [
  {
    name: defaultEncoder,
    family: "EfficientNet",
    hub: undefined,
    featureSize: 1280,
    input: 224,
    license: "Apache-2.0",
  },
  { name: "clip-vit-b-16", hub: "openai/clip-vit-base-patch16", ...clip },
  { name: "clip-vit-b-32", hub: "openai/clip-vit-base-patch32", ...clip },
  { name: "dinov2-small", hub: "facebook/dinov2-small", featureSize: 384, ...dinov2 },
  { name: "dinov2-base", hub: "facebook/dinov2-base", featureSize: 768, ...dinov2 },
  { name: "dinov2-large", hub: "facebook/dinov2-large", featureSize: 1024, ...dinov2 },
  { name: "dinov3-vits16", hub: "facebook/dinov3-vits16-pretrain-lvd1689m", featureSize: 384, ...dinov3 },
  { name: "dinov3-vitb16", hub: "facebook/dinov3-vitb16-pretrain-lvd1689m", featureSize: 768, ...dinov3 },
  { name: "eva02-tiny", hub: "timm/eva02_tiny_patch14_224.mim_in22k", featureSize: 192, ...eva02 },
  { name: "eva02-small", hub: "timm/eva02_small_patch14_224.mim_in22k", featureSize: 384, ...eva02 },
  { name: "eva02-base", hub: "timm/eva02_base_patch14_224.mim_in22k", featureSize: 768, ...eva02 },
  { name: "mocov3-vit-s", hub: "nyu-visionx/moco-v3-vit-s", featureSize: 384, ...mocov3 },
  { name: "mocov3-vit-b", hub: "nyu-visionx/moco-v3-vit-b", featureSize: 768, ...mocov3 },
  {
    name: "siglip2-base",
    family: "SigLIP2",
    hub: "google/siglip2-base-patch16-224",
    featureSize: 768,
    input: 224,
    license: "Apache-2.0",
  },
  {
    name: "deit-small",
    family: "DeiT",
    hub: "facebook/deit-small-patch16-224",
    featureSize: 384,
    input: 224,
    license: "Apache-2.0",
  },
  {
    name: "mae-vit-b",
    family: "MAE",
    hub: "facebook/vit-mae-base",
    featureSize: 768,
    input: 224,
    license: "Apache-2.0",
  },
];

/** The encoder of a short name. */
export function knownEncoder(name: string): KnownEncoder | undefined {
  return knownEncoders.find((known) => known.name === name);
}

/** Whether a text can be a repository's id on the hub: `owner/name`, of the characters that those are made of. */
export function isHubId(text: string): boolean {
  return (
    /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/.test(text) &&
    text.length <= 96 &&
    !/--|\.\./.test(text) &&
    !/\.(onnx|safetensors|json)$/i.test(text)
  );
}
