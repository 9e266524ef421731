/**
 * A picture that looks the same and is called something else: the fast gradient sign method (FGSM, Goodfellow et al.,
 * arXiv 1412.6572), in steps of one level of 255 until the label changes (Kurakin et al., arXiv 1607.02533):
 *
 *   node examples/adversarial.js photos photo.jpg out
 *
 * `photos/<class>/*` are a few pictures per class. A picture's class is the one whose mean feature is nearest. Writes
 * out/before.png and out/after.png, which differ by at most a few of 255 levels per pixel, and prints both labels.
 */
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { load } from "clp-dd/onnx-vjp";
import { encoder, input, interleaved, read, toInput, toPixels, write } from "./picture.js";

const [folder, photo, out = "."] = process.argv.slice(2);
if (photo === undefined) throw new Error("usage: node examples/adversarial.js FOLDER PHOTO [FOLDER]");
await mkdir(out, { recursive: true });

const model = await load(encoder);
const featuresOf = async (image) => (await model.run({ [input]: image })).features.data;

// The mean feature μ of each class.
const names = (await readdir(folder)).sort();
const means = [];
for (const name of names) {
  const files = (await readdir(join(folder, name))).sort();
  const mean = new Float64Array(1280);
  for (const file of files) {
    const features = await featuresOf(await read(join(folder, name, file)));
    for (let k = 0; k < mean.length; k++) mean[k] += features[k] / files.length;
  }
  means.push(mean);
}

/** The scores z·μ − ½‖μ‖²: the largest belongs to the nearest mean. */
const scoresOf = (z) => means.map((mean) => mean.reduce((sum, m, k) => sum + m * (z[k] - m / 2), 0));
const best = (scores) => scores.indexOf(Math.max(...scores));

const before = toPixels(await read(photo));
let pixels = before;
let label;
let after;
let levels = 0;
for (; levels <= 32; levels++) {
  const { output, vjp } = await model.vjp({ [input]: toInput(pixels) });
  const scores = scoresOf(output.data);
  after = best(scores);
  label ??= after;
  if (after !== label) break;
  const other = best(scores.map((score, c) => (c === label ? Number.NEGATIVE_INFINITY : score)));
  // The gradient of score(other) − score(label): with respect to the features it is the difference of the means.
  const { [input]: gradient } = await vjp(means[other].map((m, k) => m - means[label][k]));
  const step = interleaved(gradient).map(Math.sign);
  pixels = pixels.map((x, i) => Math.max(0, Math.min(255, x + step[i])));
}
await write(join(out, "before.png"), before);
await write(join(out, "after.png"), pixels);
console.log(`before: ${names[label]}`);
console.log(`after:  ${names[after]} (each pixel changed by at most ${levels} of 255 levels)`);
await model.release();
