/**
 * What it costs that cached features are compared with their hashes when a process first opens them: seconds for a cache
 * of so many MB, which was just written and is in the system's cache, and for the second opening.
 *
 *     node .bench/bench/runs/feature-check.js [MB]
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openFeatureCache } from "../../src/features/cache-reader.ts";
import { FeatureCacheWriter } from "../../src/features/cache-writer.ts";
import { Preprocessing } from "../../src/images/preprocess.ts";

const megabytes = Number(process.argv[2] ?? 1000);
const featureSize = 768;
const batch = 1000;
const images = Math.ceil((megabytes * 1e6) / (4 * featureSize) / batch) * batch;
const root = await mkdtemp(join(tmpdir(), "clp-feature-check-"));
try {
  const preprocessing = Preprocessing.parse({
    ...{ resize: 256, crop: [224, 224], interpolation: "bicubic", mean: [0, 0, 0], std: [1, 1, 1] },
  });
  const writer = await FeatureCacheWriter.open(root, {
    identity: {
      encoder: { id: "none", sha256: "0".repeat(64) },
      feature: "features",
      preprocessing,
      fast: false,
      data: { name: "none", fingerprint: "0".repeat(64) },
      split: "train",
    },
    ...{ storage: "float32", featureSize, classes: ["one"], groups: null, images },
  });
  const features = Float32Array.from({ length: batch * featureSize }, () => Math.random());
  for (let start = 0; start < images; start += batch) {
    const indices = Int32Array.from({ length: batch }, (_, i) => start + i);
    await writer.append({ features, indices, labels: new Int32Array(batch) });
  }
  const path = await writer.finish();
  const seconds = async () => {
    const start = performance.now();
    (await openFeatureCache(path)).close();
    return (performance.now() - start) / 1000;
  };
  const [first, second] = [await seconds(), await seconds()];
  const bytes = images * featureSize * 4;
  console.log(
    `${(bytes / 1e9).toFixed(2)} GB, ${images} rows: first opening ${first.toFixed(2)} s ` +
      `(${(first / (bytes / 1e9)).toFixed(2)} s per GB), second ${second.toFixed(2)} s`,
  );
} finally {
  await rm(root, { recursive: true, force: true });
}
