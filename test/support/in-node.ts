import { basename, dirname } from "node:path";
// Before ONNX Runtime is loaded, by transformers.js too.
import "../../src/onnx-vjp/runtime/telemetry-off.ts";
import { env, pipeline } from "@huggingface/transformers";

/** Classifies files with transformers.js's pipeline in this process. @param model folder of an export */
export async function classifyInNode(
  model: string,
  files: readonly string[],
): Promise<{ labels: string[]; scores: number[] }> {
  env.allowRemoteModels = false;
  env.localModelPath = dirname(model);
  const classifier = await pipeline("image-classification", basename(model));
  const found = { labels: [] as string[], scores: [] as number[] };
  try {
    for (const file of files) {
      const [best] = (await classifier(file, { top_k: 1 })) as { label: string; score: number }[];
      found.labels.push(best.label);
      found.scores.push(best.score);
    }
  } finally {
    await classifier.dispose();
  }
  return found;
}
