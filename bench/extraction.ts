/**
 * Features from JPEG files, end to end (read, decode, resize, encode, write the cache), against the encoder alone
 * on the same pixels in memory, in one run, in turn.
 *
 *   node extraction.js [--count 256] [--model efficientnet-lite0] [--size 224] [--rounds 3]
 *
 * Ends with one line of JSON: `Extraction`.
 */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import sharp from "sharp";
import { imageBatches } from "../src/data/decode-pool.ts";
import { openDataSet } from "../src/data/open-node.ts";
import { extractFeatures } from "../src/encoder/extract-node.ts";
import { openEncoder } from "../src/encoder/open-node.ts";
import { seededRandom } from "../src/random.ts";
import { elapsed, inTurn, median } from "./measure.ts";
import { runPeer } from "./peer.ts";

export interface Extraction {
  readonly model: string;
  readonly size: number;
  readonly count: number;
  /** Images a second. */
  readonly endToEnd: number;
  readonly encoderAlone: number;
  /** End to end over encoder alone. */
  readonly ratio: number;
}

const { values: options } = parseArgs({
  options: {
    count: { type: "string", default: "256" },
    model: { type: "string", default: "efficientnet-lite0" },
    size: { type: "string", default: "224" },
    rounds: { type: "string", default: "3" },
    threads: { type: "string", default: "2" },
  },
});
const count = Number(options.count);
const size = Number(options.size);
const folder = await mkdtemp(join(tmpdir(), "clp-dd-extraction-"));
try {
  let name = options.model;
  if (name !== "efficientnet-lite0") {
    name = join(folder, "model.onnx");
    runPeer("models.py", [options.model, `${size}`, name]);
  }
  const photos = join(folder, "photos");
  await makeJpegs(photos, count);
  const source = await openDataSet(photos);
  const { encoder } = await openEncoder({ encoder: name, size, threads: Number(options.threads) });
  const context = { signal: new AbortController().signal, progress: () => {}, note: () => {} };
  const batches: { pixels: Uint8Array; count: number }[] = [];
  for await (const { pixels, labels } of imageBatches(source, "train", encoder.preprocessing)) {
    batches.push({ pixels: pixels.slice(), count: labels.length });
  }
  let run = 0;
  const times = await inTurn(
    {
      endToEnd: () => {
        const cacheFolder = join(folder, `cache${run++}`);
        return elapsed(async () => {
          const cache = await extractFeatures(source, "train", encoder, { cacheFolder, maxBad: 0 }, context);
          await cache.close();
        });
      },
      encoderAlone: () =>
        elapsed(async () => {
          for (const batch of batches) await encoder.features(batch.pixels, batch.count);
        }),
    },
    { least: Number(options.rounds), most: Number(options.rounds) },
  );
  const rate = (ms: readonly number[]) => (1000 * count) / median(ms);
  const [endToEnd, encoderAlone] = [rate(times.endToEnd), rate(times.encoderAlone)];
  const result: Extraction = {
    ...{ model: options.model, size, count, endToEnd, encoderAlone },
    ratio: endToEnd / encoderAlone,
  };
  console.log(JSON.stringify(result));
  await encoder.release();
} finally {
  await rm(folder, { recursive: true, force: true });
}

/** Made photographs of 500 × 375 px, as large as ImageNet's are in the middle: smooth colours with grain. */
async function makeJpegs(path: string, total: number): Promise<void> {
  const random = seededRandom(0, "jpegs");
  for (const name of ["a", "b"]) await mkdir(join(path, name), { recursive: true });
  for (let i = 0; i < total; i++) {
    const small = Uint8Array.from({ length: 16 * 12 * 3 }, () => random.below(256));
    const grain = Buffer.from(Uint8Array.from({ length: 500 * 375 }, () => 96 + random.below(64)));
    await sharp(small, { raw: { width: 16, height: 12, channels: 3 } })
      .resize(500, 375, { kernel: "cubic" })
      .composite([{ input: grain, raw: { width: 500, height: 375, channels: 1 }, blend: "soft-light" }])
      .jpeg({ quality: 90 })
      .toFile(join(path, i % 2 === 0 ? "a" : "b", `${i}.jpg`));
  }
}
