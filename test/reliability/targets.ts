import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { parseManifest } from "../../src/artifact/manifest.ts";
import { openDataSet } from "../../src/data/open-data-set.ts";
import { readMat } from "../../src/data/sets/mat.ts";
import { loadCheckpoint, saveCheckpoint } from "../../src/distill/checkpoint.ts";
import { initialState } from "../../src/distill/loop.ts";
import { readPreprocessorConfig } from "../../src/encoder/load/preprocessor-config.ts";
import { readTransformerConfig } from "../../src/encoder/vit/vit-config.ts";
import { DataError, messageOf } from "../../src/errors.ts";
import { openFeatureCache } from "../../src/features/cache-reader.ts";
import { FeatureCacheWriter } from "../../src/features/cache-writer.ts";
import { sha256OfText } from "../../src/files/hash.ts";
import { hubAccess } from "../../src/files/hub/settings.ts";
import { readPickle } from "../../src/files/pickle.ts";
import { openSafetensors } from "../../src/files/safetensors.ts";
import { decodeImage } from "../../src/images/decode.ts";
import { Preprocessing } from "../../src/images/preprocess.ts";
import { cellsOf, checkedCompareConfig, readGrid } from "../../src/jobs/compare-config.ts";
import { load } from "../../src/onnx-vjp/model.ts";
import { DistillConfig } from "../../src/recipe/config.ts";
import { noiseParameters } from "../../src/synthetic/parameters.ts";
import { sampleManifest } from "../support/artifact-content.ts";
import {
  bytesMutator,
  gzipMutator,
  jsonMutator,
  type Mutator,
  safetensorsMutator,
  tarMutator,
  textMutator,
} from "./mutate.ts";

/** A parser of files from outside. */
export interface Target {
  readonly mutate: Mutator;
  /** Good inputs to start from. */
  corpus(folder: string): Promise<Uint8Array[]>;
  /**
   * Reads an input. An error of this project's own means that it was refused.
   * @returns what came of it where every byte is covered by a hash: an input that is accepted must give what the whole one did
   */
  read(bytes: Uint8Array, folder: string): Promise<unknown>;
  /** Whether what `read` gives must be that of the input which was changed. */
  readonly hashed?: true;
}

const fixtures = join(process.cwd(), "test/fixtures");
const files = (...names: readonly string[]) =>
  Promise.all(names.map((name) => readFile(join(fixtures, name))));

/** Files of the fixtures, by the end of their names, that are small enough to be changed many times. */
async function smallFiles(end: RegExp, most = 40_000): Promise<Uint8Array[]> {
  const names = (await readdir(fixtures, { recursive: true })).filter((name) => end.test(name)).sort();
  const found = await files(...names);
  return found.filter(({ length }) => length > 0 && length <= most).slice(0, 60);
}

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const bytesOf = (value: string): Uint8Array => new TextEncoder().encode(value);

const plain = Preprocessing.parse({ resize: 8, crop: [8, 8], mean: [0, 0, 0], std: [1, 1, 1] });

/** Opens a folder as a data set and decodes an image of each split. */
async function openSet(folder: string): Promise<void> {
  const source = await openDataSet(folder);
  for (const split of source.splits) {
    const images = source.images(split);
    if (images.length === 0) continue;
    const item = images.at(images.length - 1);
    await decodeImage(item.id, await item.open(), item.encoding);
  }
}

/** A data set whose file `name` is the input, beside others that are as they should be. */
function setOf(
  name: string,
  mutate: Mutator,
  corpus: Target["corpus"],
  beside: readonly string[] = [],
): Target {
  return {
    mutate,
    corpus,
    async read(bytes, folder) {
      const set = join(folder, "set");
      await rm(set, { recursive: true, force: true });
      await mkdir(join(set, name, ".."), { recursive: true });
      for (const other of beside) await writeFile(join(set, other), idx(other.includes("images")));
      await writeFile(join(set, name), bytes);
      await openSet(set);
    },
  };
}

/** A small file in the format of MNIST: two images of 4 × 4 pixels, or their labels. */
function idx(images: boolean): Buffer {
  const dims = images ? [2, 4, 4] : [2];
  const head = Buffer.alloc(4 + 4 * dims.length);
  head.writeUInt32BE(0x800 + dims.length);
  for (const [i, d] of dims.entries()) head.writeUInt32BE(d, 4 + 4 * i);
  return Buffer.concat([head, Buffer.alloc(images ? 32 : 2, 1)]);
}
const idxNames = ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"].map(
  (name) => `${name}-ubyte`,
);

/** A program that answers every request with one text. */
let answers: { readonly url: string; say(bytes: Uint8Array): void } | undefined;
async function answering() {
  if (answers !== undefined) return answers;
  let body: Uint8Array = new Uint8Array();
  const server = createServer((_, response) => {
    response.setHeader("content-type", "application/json");
    response.end(body);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  server.unref();
  answers = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    say: (bytes) => {
      body = bytes;
    },
  };
  return answers;
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

export const targets: Readonly<Record<string, Target>> = {
  onnx: {
    mutate: bytesMutator,
    corpus: () => smallFiles(/\.onnx$/, 12_000),
    async read(bytes) {
      const model = await load(bytes, { threads: 1, memoryBytes: 2 ** 28 });
      try {
        await model.coverage();
      } finally {
        await model.release();
      }
    },
  },
  safetensors: {
    mutate: safetensorsMutator,
    corpus: () => smallFiles(/\.safetensors$/, 20_000),
    async read(bytes, folder) {
      const path = join(folder, "x.safetensors");
      await writeFile(path, bytes);
      const file = await openSafetensors(path);
      try {
        for (const [name, { dtype }] of file.tensors) if (/^B?F/.test(dtype)) await file.floats(name);
      } finally {
        await file.close();
      }
    },
  },
  parquet: setOf("train-00000.parquet", bytesMutator, () => smallFiles(/\.parquet$/)),
  tar: setOf("train-000.tar", tarMutator, () => smallFiles(/\.tar$/, 60_000)),
  mat: {
    mutate: bytesMutator,
    corpus: () => smallFiles(/\.mat$/),
    async read(bytes, folder) {
      const path = join(folder, "x.mat");
      await writeFile(path, bytes);
      await readMat(path);
    },
  },
  idx: setOf(idxNames[0]!, bytesMutator, async () => [idx(true)], idxNames.slice(1)),
  "idx-gzip": setOf(`${idxNames[0]}.gz`, gzipMutator, async () => [gzipSync(idx(true))], idxNames.slice(1)),
  "cifar-pickles": {
    mutate: bytesMutator,
    corpus: async () => [
      ...(await files("cases/data-cifar-py/cifar-10-batches-py/batches.meta")),
      (await files("cases/data-cifar-py/cifar-10-batches-py/data_batch_1"))[0]!.subarray(0, 400),
    ],
    async read(bytes) {
      try {
        readPickle(bytes);
      } catch (error) {
        // What reads the files names them; an error of JavaScript's own is a defect.
        if (Object.getPrototypeOf(error) !== Error.prototype) throw error;
        throw new DataError(messageOf(error), { cause: error });
      }
    },
  },
  images: {
    mutate: bytesMutator,
    corpus: () => smallFiles(/\.(bmp|ppm|png|jpe?g|gif|webp|tiff?)$/i, 20_000),
    async read(bytes) {
      await decodeImage("x", bytes, { kind: "raster" }, { mostPixels: 2 ** 24 } as object);
    },
  },
  configurations: {
    mutate: jsonMutator,
    corpus: () => smallFiles(/config\.json$/),
    async read(bytes) {
      readTransformerConfig(text(bytes), "config.json", () => true);
    },
  },
  preprocessors: {
    mutate: jsonMutator,
    corpus: () => smallFiles(/preprocessor_?(config)?\.json$/),
    async read(bytes) {
      readPreprocessorConfig(text(bytes), plain, "preprocessor_config.json", "vit");
    },
  },
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
      bytesOf(
        JSON.stringify({
          ...sampleManifest(),
          folders: ["cat", "dog", "owl"],
          files: { "distilled.safetensors": "ab".repeat(32) },
        }),
      ),
    ],
    async read(bytes) {
      await parseManifest(text(bytes), "manifest.json", sha256OfText);
    },
  },
  checkpoints: {
    mutate: safetensorsMutator,
    hashed: true,
    async corpus(folder) {
      const config = DistillConfig.parse({ learnLabels: true, batchSize: 7, seed: 5 });
      const parameters = noiseParameters("pyramid", 6, 16, 5);
      const state = initialState(config, 3, 50, parameters);
      await saveCheckpoint(folder, {
        identity: {
          config,
          encoder: "ab".repeat(32),
          feature: "pooled (none)",
          data: "cd".repeat(32),
          preprocessing: plain,
        },
        state,
        parameters,
        cut: { batch: 2, activations: "recompute" },
        curve: [{ step: 1, loss: 0.5 }],
        seconds: 12.3,
      });
      return [await readFile(join(folder, "checkpoint.safetensors"))];
    },
    async read(bytes, folder) {
      await writeFile(join(folder, "checkpoint.safetensors"), bytes);
      const { state, ...rest } = (await loadCheckpoint(folder))!;
      const { sampler, ...own } = state;
      return JSON.stringify([rest, own, sampler.state]);
    },
  },
  caches: {
    mutate: jsonMutator,
    hashed: true,
    async corpus(folder) {
      return [await readFile(join(await wholeCache(folder), "header.json"))];
    },
    async read(bytes, folder) {
      const path = await wholeCache(folder);
      await writeFile(join(path, "header.json"), bytes);
      try {
        const cache = await openFeatureCache(path);
        const { header, labels, indices } = cache;
        cache.close();
        return JSON.stringify([header, [...labels], [...indices]]);
      } finally {
        await rm(path, { recursive: true, force: true });
      }
    },
  },
  hub: {
    mutate: jsonMutator,
    corpus: async () => [
      bytesOf(
        JSON.stringify({
          id: "owner/name",
          sha: "ab".repeat(20),
          private: false,
          gated: false,
          downloads: 1,
          likes: 1,
          lastModified: "2026-01-01T00:00:00.000Z",
        }),
      ),
      bytesOf(
        JSON.stringify([{ type: "file", path: "data/train-0.parquet", size: 10, oid: "ab".repeat(20) }]),
      ),
    ],
    async read(bytes, folder) {
      const { url, say } = await answering();
      say(bytes);
      const hub = hubAccess({ HF_ENDPOINT: url, HF_HUB_CACHE: join(folder, "hub"), HF_HOME: folder }, folder);
      try {
        await openDataSet("hf:owner/name", { access: hub, context: {} });
      } finally {
        await rm(join(folder, "hub"), { recursive: true, force: true });
      }
    },
  },
};

async function wholeCache(folder: string): Promise<string> {
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
