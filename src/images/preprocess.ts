import * as z from "zod";
import { interpolations, resample } from "./resample.ts";
import type { Rectangle, RgbImage } from "./types.ts";

/** Longest side of an encoder's input, in pixels: a configuration of 2³¹ is damaged, and memory is made for each image. */
export const mostSide = 16_384;
const size = z.int().positive().max(mostSide);
const triple = z.tuple([z.number(), z.number(), z.number()]);

/**
 * How an image becomes an encoder's input; recorded in manifests and part of a feature cache's key.
 * As torchvision's `Resize`, `CenterCrop`, `ToTensor`, `Normalize` on PIL images.
 */
export const Preprocessing = z.strictObject({
  /**
   * A number: the shorter edge becomes that many pixels, the longer ⌊number · longer / shorter⌋.
   * A pair: exactly that height and width, whatever the aspect. null: no resize.
   */
  resize: z.union([size, z.tuple([size, size]), z.null()]),
  /** Height and width of the center crop: the encoder's input. What sticks out of the image is black. */
  crop: z.tuple([size, size]),
  interpolation: z.enum(interpolations).default("bicubic"),
  /**
   * An odd margin's half: `round` to even as torchvision and timm do, `floor` as the array-based image
   * processors of Hugging Face transformers do.
   */
  cropOffset: z.enum(["round", "floor"]).default("round"),
  /** Of red, green and blue, of pixels scaled to [0, 1]; the encoder's graph applies both. */
  mean: triple,
  std: z.tuple([z.number().positive(), z.number().positive(), z.number().positive()]),
  /** Order in which the model takes the channels, where that is not red, green, blue. */
  channels: z.literal("bgr").optional(),
});
export type Preprocessing = z.infer<typeof Preprocessing>;

/** What `preprocess` does to an image of some size. */
export interface Geometry {
  /** Size after the resize. */
  readonly width: number;
  readonly height: number;
  /** The part of the resized image that is kept. */
  readonly window: Rectangle;
  /** Where that part is in the encoder's input: (0, 0) unless the crop is larger than the resized image. */
  readonly left: number;
  readonly top: number;
}

/** The sizes and offsets torchvision would use for an image of `width` × `height` pixels. */
export function geometryOf(preprocessing: Preprocessing, width: number, height: number): Geometry {
  const resized = resizedSize(preprocessing.resize, width, height);
  const [cropHeight, cropWidth] = preprocessing.crop;
  const across = cropAxis(resized.width, cropWidth, preprocessing.cropOffset);
  const down = cropAxis(resized.height, cropHeight, preprocessing.cropOffset);
  return {
    ...resized,
    window: { left: across.start, top: down.start, width: across.length, height: down.length },
    left: across.padding,
    top: down.padding,
  };
}

function resizedSize(resize: Preprocessing["resize"], width: number, height: number) {
  if (resize === null) return { width, height };
  if (typeof resize !== "number") return { width: resize[1], height: resize[0] };
  const shorter = Math.min(width, height);
  const long = Math.trunc((resize * Math.max(width, height)) / shorter);
  return width <= height ? { width: resize, height: long } : { width: long, height: resize };
}

/** One axis of torchvision's `center_crop`: black on both sides first where the crop is the longer. */
function cropAxis(length: number, crop: number, offset: Preprocessing["cropOffset"]) {
  if (crop >= length) return { start: 0, length, padding: Math.floor((crop - length) / 2) };
  const margin = (length - crop) / 2;
  return { start: offset === "floor" ? Math.floor(margin) : roundHalfEven(margin), length: crop, padding: 0 };
}

/** Python's `round`. */
function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  return x - floor === 0.5 ? floor + (floor % 2) : Math.round(x);
}

/** Bytes of one preprocessed image: 3 × crop height × crop width. */
export function inputBytes(preprocessing: Preprocessing): number {
  return 3 * preprocessing.crop[0] * preprocessing.crop[1];
}

/**
 * Resizes and crops `image` to the encoder's input size: planar 8-bit RGB, 3 × H × W, written to `out` when
 * given (of `inputBytes` bytes). Mean and standard deviation are not applied here.
 */
export function preprocess(image: RgbImage, preprocessing: Preprocessing, out?: Uint8Array): Uint8Array {
  const [height, width] = preprocessing.crop;
  const data = out ?? new Uint8Array(inputBytes(preprocessing));
  if (data.length !== inputBytes(preprocessing)) {
    throw new RangeError(
      `an input of 3 × ${height} × ${width} needs ${3 * height * width} bytes, got ${data.length}`,
    );
  }
  const geometry = geometryOf(preprocessing, image.width, image.height);
  if (geometry.window.width < width || geometry.window.height < height) data.fill(0);
  return resample(image, geometry.width, geometry.height, preprocessing.interpolation, geometry.window, {
    data,
    width,
    height,
    left: geometry.left,
    top: geometry.top,
  });
}
