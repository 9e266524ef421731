import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { parseManifest } from "../../src/artifact/manifest.ts";
import { readArtifact } from "../../src/artifact/read-artifact.ts";
import { writeArtifact } from "../../src/artifact/write-artifact.ts";
import { loadCheckpoint, saveCheckpoint } from "../../src/distill/checkpoint.ts";
import { initialState } from "../../src/distill/loop.ts";
import { openFeatureCache } from "../../src/features/cache-reader.ts";
import { FeatureCacheWriter } from "../../src/features/cache-writer.ts";
import { sha256OfText } from "../../src/files/hash.ts";
import { cellsOf, checkedCompareConfig, readGrid } from "../../src/jobs/compare-config.ts";
import { DistillConfig } from "../../src/recipe/config.ts";
import { noiseParameters } from "../../src/synthetic/parameters.ts";
import { sampleContent, sampleManifest } from "../support/artifact-content.ts";
import {
  bytesMutator,
  filesMutator,
  jsonMutator,
  type Mutator,
  packed,
  safetensorsMutator,
  textMutator,
  unpacked,
} from "./mutate.ts";
import { bytesOf, jsonBytes, placed, plain, type Target, text } from "./target.ts";

/** A folder of files, some of which are changed; the others stay as they were written. */
function folderTarget(
  mutators: Readonly<Record<string, Mutator>>,
  write: (folder: string) => Promise<string>,
  read: (path: string) => Promise<string>,
): Target {
  const names = Object.keys(mutators);
  let written: Promise<string> | undefined;
  const pathIn = (folder: string) => {
    written ??= write(folder);
    return written;
  };
  return {
    mutate: filesMutator(...Object.values(mutators)),
    hashed: true,
    async corpus(folder) {
      const path = await pathIn(folder);
      const contents = await Promise.all(names.map((name) => readFile(join(path, name))));
      return [packed(...contents)];
    },
    async read(bytes, folder) {
      const path = await pathIn(folder);
      for (const [i, part] of unpacked(bytes, names.length).entries()) placed(join(path, names[i]!), part);
      return read(path);
    },
  };
}

const cacheSpec = {
  identity: {
    encoder: { id: "tiny", sha256: "ab".repeat(32) },
    feature: "pooled (none)",
    preprocessing: plain,
    data: { name: "made up", fingerprint: "cd".repeat(32) },
    fast: false,
    split: "train" as const,
  },
  storage: "float32" as const,
  groups: null,
  classes: ["a", "b"],
  images: 12,
  featureSize: 3,
};

async function writtenCache(folder: string): Promise<string> {
  const writer = await FeatureCacheWriter.open(folder, cacheSpec);
  const indices = Int32Array.from({ length: 12 }, (_, i) => i);
  await writer.append({
    features: Float32Array.from({ length: 36 }, (_, i) => i / 7),
    indices,
    labels: indices.map((i) => i % 2),
    bad: [],
  });
  return writer.finish();
}

async function readCache(path: string): Promise<string> {
  const cache = await openFeatureCache(path);
  try {
    const { header, labels, indices, count, featureSize } = cache;
    const features = new Float32Array(count * featureSize);
    await cache.rows(
      Int32Array.from({ length: count }, (_, i) => i),
      features,
    );
    return JSON.stringify([header, [...labels], [...indices], [...features]]);
  } finally {
    cache.close();
  }
}

async function writtenSet(folder: string): Promise<string> {
  const path = join(folder, "set");
  await rm(path, { recursive: true, force: true });
  await writeArtifact(path, sampleContent({ size: 8 }));
  return path;
}

async function readSet(path: string): Promise<string> {
  const { manifest, labels, images, softLabels, probe } = await readArtifact(path);
  const { weight } = await probe();
  const numbers = [labels, await images(), await softLabels(), weight.data].map((list) => [...list]);
  return JSON.stringify([manifest, numbers]);
}

async function writtenCheckpoint(folder: string): Promise<string> {
  const path = join(folder, "run.checkpoint");
  await mkdir(path, { recursive: true });
  const config = DistillConfig.parse({ learnLabels: true, batchSize: 7, seed: 5 });
  const parameters = noiseParameters("pyramid", 6, 16, 5);
  await saveCheckpoint(path, {
    identity: {
      config,
      encoder: "ab".repeat(32),
      feature: "pooled (none)",
      data: "cd".repeat(32),
      preprocessing: plain,
    },
    state: initialState(config, 3, 50, parameters),
    parameters,
    cut: { batch: 2, activations: "recompute" },
    curve: [{ step: 1, loss: 0.5 }],
    seconds: 12.3,
  });
  return path;
}

async function readCheckpoint(path: string): Promise<string> {
  const { state, ...rest } = (await loadCheckpoint(path))!;
  const { sampler, ...own } = state;
  return JSON.stringify([rest, own, sampler.state]);
}

/** What this project writes itself, and the grids that people write for it. */
export const ownTargets: Readonly<Record<string, Target>> = {
  grids: {
    mutate: textMutator,
    corpus: async () => [
      bytesOf(
        "data: [a, {data: b, published: c}]\nencoders: [x@128]\nmethods: [clp, {name: n, config: {ipc: 2}}]\n",
      ),
      bytesOf(
        '{"data":["a"],"encoders":["e"],"methods":["clp",{"baseline":"random"}],"ipc":[1,10],"seeds":[0,1]}',
      ),
    ],
    async read(bytes) {
      cellsOf(checkedCompareConfig(readGrid(text(bytes), "grid"), "grid"));
    },
  },
  manifests: {
    mutate: jsonMutator,
    corpus: async () => [
      jsonBytes({
        ...sampleManifest(),
        folders: ["cat", "dog", "owl"],
        files: { "distilled.safetensors": "ab".repeat(32) },
      }),
    ],
    async read(bytes) {
      await parseManifest(text(bytes), "manifest.json", sha256OfText);
    },
  },
  sets: folderTarget(
    {
      // Damage: who changes a field and takes the hash out means to.
      "manifest.json": bytesMutator,
      "distilled.safetensors": safetensorsMutator,
      "probe.safetensors": safetensorsMutator,
    },
    writtenSet,
    readSet,
  ),
  checkpoints: folderTarget(
    { "checkpoint.safetensors": safetensorsMutator },
    writtenCheckpoint,
    readCheckpoint,
  ),
  caches: folderTarget(
    { "header.json": jsonMutator, "features.bin": bytesMutator, "rows.bin": bytesMutator },
    writtenCache,
    readCache,
  ),
};
