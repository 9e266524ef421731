/**
 * jax-js: the graph by its own ONNX loader; features compiled by `jit`. The step is not: compiled as a whole it took
 * more than three times as long as its ops one by one.
 */

import { blockUntilReady, defaultDevice, init, jit, numpy, vjp } from "@jax-js/jax";
import { ONNXModel } from "@jax-js/onnx";
import { bytes, elapsed, floats, write } from "./data.js";

let started = false;
let model;
let images;
let cotangent;
let forward;
let features;

/** The graph's one input and one output; images [n, 3, size, size] and the features' cotangent [n, d]. */
export async function load({ threads, input, output, dims, featureDims }) {
  if (!started) {
    // The workers that jax-js starts are as many as the browser says there are cores.
    Object.defineProperty(navigator, "hardwareConcurrency", { value: threads });
    await init("wasm");
    defaultDevice("wasm");
    started = true;
  }
  for (const array of [images, cotangent]) array?.dispose();
  model?.dispose();
  model = new ONNXModel(await bytes("model"));
  images = numpy.array(await floats("images")).reshape(dims);
  cotangent = numpy.array(await floats("cotangent")).reshape(featureDims);
  await blockUntilReady([images, cotangent]);
  forward = (x) => model.run({ [input]: x })[output];
  features = jit(forward);
  return { threads: navigator.hardwareConcurrency };
}

/** Results in JavaScript's memory: [features] or [features, gradient]. */
async function results(mode) {
  if (mode === "features") return [await features(images.ref).data()];
  const [value, pull] = vjp(forward, [images.ref]);
  const [gradient] = pull(cotangent.ref);
  pull.dispose();
  return Promise.all([value.data(), gradient.data()]);
}

/** Milliseconds of one run. */
export const run = ({ mode }) => elapsed(() => results(mode));

export async function save({ mode }) {
  const [value, gradient] = await results(mode);
  await write("features", value);
  if (gradient !== undefined) await write("gradient", gradient);
}
