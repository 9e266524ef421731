/** TensorFlow.js on its WebAssembly backend: the graph walked with its ops, images in its own layout (NHWC). */

import { bytes, elapsed, floats, write } from "./data.js";
import { startTensorFlow } from "./tensorflow.js";
import { modelOf } from "./tfjs-graph.js";

let backend;
let model;
let images;
let cotangent;

async function start(threads) {
  const tf = await startTensorFlow(threads);
  const [simd, threaded] = ["WASM_HAS_SIMD_SUPPORT", "WASM_HAS_MULTITHREAD_SUPPORT"].map((flag) =>
    tf.env().get(flag),
  );
  if (!simd || !threaded) throw new Error(`TensorFlow.js found SIMD: ${simd}, threads: ${threaded}`);
  backend = { threads: tf.wasm.getThreadsCount() };
}

/** The graph's one input and one output; images [n, 3, size, size] and the features' cotangent [n, d]. */
export async function load({ threads, input, output, dims, featureDims }) {
  if (backend === undefined) await start(threads);
  for (const held of [model, images, cotangent]) held?.dispose();
  model = modelOf(await bytes("model"), input, output);
  images = tf.tensor(await floats("images"), dims);
  cotangent = tf.tensor(await floats("cotangent"), featureDims);
  return backend;
}

/** Results in JavaScript's memory: [features] or [features, gradient]. */
async function results(mode) {
  const found = tf.tidy(() => {
    if (mode === "features") return [model.run(images, true)];
    const { value, grad } = tf.valueAndGrad((x) => model.run(x, false))(images, cotangent);
    return [value, grad];
  });
  const read = await Promise.all(found.map((tensor) => tensor.data()));
  tf.dispose(found);
  return read;
}

/** Milliseconds of one run. */
export const run = ({ mode }) => elapsed(() => results(mode));

export async function save({ mode }) {
  const [value, gradient] = await results(mode);
  await write("features", value);
  if (gradient !== undefined) await write("gradient", gradient);
}
