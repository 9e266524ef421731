/**
 * What does an encoder look at? Writes two overlays of a photo:
 *
 *   node examples/saliency.js photo.jpg out
 *
 * - out/saliency.png: the size of the gradient of ½‖features‖² at each pixel (Simonyan et al., arXiv 1312.6034)
 * - out/grad-cam.png: Grad-CAM (Selvaraju et al., arXiv 1610.02391) of the last convolution's map
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { load } from "clp-dd/onnx-vjp";
import sharp from "sharp";
import { encoder, input, read, side, toPixels, write } from "./picture.js";

const [photo, out = "."] = process.argv.slice(2);
if (photo === undefined) throw new Error("usage: node examples/saliency.js PHOTO [FOLDER]");
await mkdir(out, { recursive: true });

// Any tensor in the model can be an output: here its last map [1, 1280, 7, 7] beside the features.
const map = "head.relu6";
const model = await load(encoder, { output: [map, "features"] });
const image = await read(photo);
const { outputs, vjp } = await model.vjp({ [input]: image });

// The gradient of ½‖z‖² with respect to the features z is z itself.
const features = outputs.features.data;
const gradient = (await vjp({ features }))[input].data;
const area = side * side;
const saliency = Float32Array.from({ length: area }, (_, i) =>
  Math.max(...[0, 1, 2].map((c) => Math.abs(gradient[c * area + i]))),
);
await overlay("saliency.png", await blurred(saliency));

// Grad-CAM weighs the map's channels by the mean of the score's gradient over their positions. The features are the map's
// means, so that mean is the cotangent of a feature over the number of positions.
const [, channels, height, width] = outputs[map].dims;
const cam = new Float32Array(height * width);
for (let k = 0; k < channels; k++)
  for (let i = 0; i < cam.length; i++)
    cam[i] += (features[k] / cam.length) * outputs[map].data[k * cam.length + i];
await overlay(
  "grad-cam.png",
  await enlarged(
    cam.map((x) => Math.max(0, x)),
    width,
    height,
  ),
);

await model.release();

/** Gradients of single pixels are noise to the eye. */
function blurred(values) {
  return scaled(values, side, side, (picture) => picture.blur(4));
}

function enlarged(values, w, h) {
  return scaled(values, w, h, (picture) => picture.resize(side, side, { kernel: "cubic", fit: "fill" }));
}

function largest(values) {
  return values.reduce((most, x) => Math.max(most, x), 0);
}

/** Values between 0 and 1 after `change`. */
async function scaled(values, width, height, change) {
  const most = largest(values) || 1;
  const bytes = Uint8Array.from(values, (x) => (255 * x) / most);
  const picture = change(sharp(bytes, { raw: { width, height, channels: 1 } }));
  const data = await picture.toColorspace("b-w").raw().toBuffer();
  const peak = largest(data) || 1;
  return Float32Array.from(data, (x) => x / peak);
}

/** The photo in gray, with `heat` as red. */
async function overlay(name, heat) {
  const pixels = toPixels(image);
  const shown = new Float32Array(pixels.length);
  for (let i = 0; i < heat.length; i++) {
    const gray = (pixels[3 * i] + pixels[3 * i + 1] + pixels[3 * i + 2]) / 3;
    shown[3 * i] = 0.5 * gray * (1 - heat[i]) + 255 * heat[i];
    shown[3 * i + 1] = shown[3 * i + 2] = 0.5 * gray * (1 - heat[i]);
  }
  await write(join(out, name), shown);
  console.log(join(out, name));
}
