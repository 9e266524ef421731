// What both examples share: pictures in and out of the embedded encoder's input.
import { fileURLToPath } from "node:url";
import sharp from "sharp";

/** The embedded encoder, EfficientNet-Lite0 without its classifier: pixels [1, 3, 224, 224] to 1280 features. */
export const encoder = fileURLToPath(import.meta.resolve("clp-dd/models/efficientnet-lite0.onnx"));
export const input = "pixel_values";
export const side = 224;

/** The encoder takes (pixel − 127) / 128 of pixels from 0 to 255. */
const [mean, std] = [127, 128];

/** A picture (a path, or the bytes of a file) as the encoder's input. */
export async function read(picture) {
  const pixels = await sharp(picture)
    .resize(side, side, { fit: "cover" })
    .flatten({ background: "white" })
    .toColorspace("srgb")
    .raw()
    .toBuffer();
  return toInput(Float32Array.from(pixels));
}

/** Pixels from 0 to 255, row by row and RGB, as the encoder's input: planes of red, green and blue. */
export function toInput(pixels) {
  const area = side * side;
  const data = new Float32Array(3 * area);
  for (let i = 0; i < area; i++)
    for (let c = 0; c < 3; c++) data[c * area + i] = (pixels[3 * i + c] - mean) / std;
  return { dims: [1, 3, side, side], data };
}

/** Planes of red, green and blue as numbers row by row and RGB. */
export function interleaved({ data }) {
  const area = side * side;
  return Float32Array.from({ length: 3 * area }, (_, i) => data[(i % 3) * area + Math.floor(i / 3)]);
}

/** The pixels from 0 to 255 of the encoder's input, row by row and RGB. */
export const toPixels = (image) => interleaved(image).map((x) => x * std + mean);

/** Writes pixels from 0 to 255, row by row and RGB, as a PNG. */
export async function write(path, pixels) {
  const bytes = Uint8Array.from(pixels, (x) => Math.max(0, Math.min(255, Math.round(x))));
  await sharp(bytes, { raw: { width: side, height: side, channels: 3 } })
    .png()
    .toFile(path);
}
