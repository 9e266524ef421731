// Runs in a page: classifies pictures as a web program does, with transformers.js's pipeline.
import { env, pipeline } from "@huggingface/transformers";

/** @param {{ model: string, pictures: readonly string[], device: "wasm" | "webgpu", dtype?: string }} task */
export async function classifyAll({ model, pictures, device, dtype }) {
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = "/models/";
  env.useBrowserCache = false;
  env.backends.onnx.wasm.wasmPaths = "/ort/";
  const classifier = await pipeline("image-classification", model, { device, ...(dtype ? { dtype } : {}) });
  const found = { labels: [], scores: [], seconds: 0 };
  const began = performance.now();
  for (const picture of pictures) {
    const [best] = await classifier(`/pictures/${picture}`, { top_k: 1 });
    found.labels.push(best.label);
    found.scores.push(best.score);
  }
  found.seconds = (performance.now() - began) / 1000;
  return found;
}
