/** This project's own graphs in the same page, by ONNX Runtime Web: what is its share, and what WebAssembly's. */

import { bytes, elapsed, floats, write } from "./data.js";

const dist = "/modules/onnxruntime-web/dist/";
let ort;
let sessions = [];
let feeds;
let names;

/** As tfjs.js; `joint` is the graph of features and gradient, which takes the cotangent as its second input. */
export async function load({ threads, input, output, dims, featureDims, joint }) {
  if (ort === undefined) {
    ort = await import(`${dist}ort.wasm.bundle.min.mjs`);
    ort.env.wasm.wasmPaths = dist;
    ort.env.wasm.numThreads = threads;
  }
  for (const session of sessions) await session.release();
  sessions = [];
  for (const name of ["model", "joint"]) sessions.push(await ort.InferenceSession.create(await bytes(name)));
  feeds = { [input]: new ort.Tensor("float32", await floats("images"), dims) };
  const cotangent = new ort.Tensor("float32", await floats("cotangent"), featureDims);
  feeds = { features: feeds, step: { ...feeds, [joint.cotangent]: cotangent } };
  names = { features: [output], step: [output, joint.gradient] };
  return { threads: ort.env.wasm.numThreads };
}

async function results(mode) {
  const session = sessions[mode === "step" ? 1 : 0];
  const found = await session.run(feeds[mode]);
  return names[mode].map((name) => found[name].data);
}

/** Milliseconds of one run. */
export const run = ({ mode }) => elapsed(() => results(mode));

export async function save({ mode }) {
  const [value, gradient] = await results(mode);
  await write("features", value);
  if (gradient !== undefined) await write("gradient", gradient);
}
