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
import { imageBatches } from "../../src/data/decode-pool.ts";
import type { ImageSource } from "../../src/data/image-source.ts";
import { openDataSet } from "../../src/data/open-data-set.ts";
import type { Encoder } from "../../src/encoder/encoder.ts";
import { openEncoder } from "../../src/encoder/open-encoder.ts";
import { extractFeatures } from "../../src/features/extract.ts";
import { decodeImage } from "../../src/images/decode.ts";
import { preprocess } from "../../src/images/preprocess.ts";
import type { RgbImage } from "../../src/images/types.ts";
import { seededRandom } from "../../src/random.ts";
import { elapsed, inTurn, median } from "../lib/measure.ts";
import { exportedModel } from "../lib/peer.ts";

export interface Extraction {
  readonly model: string;
  readonly size: number;
  readonly count: number;
  /** Images a second. */
  readonly endToEnd: number;
  readonly encoderAlone: number;
  /** End to end over encoder alone. */
  readonly ratio: number;
  /** Milliseconds of one core for an image. */
  readonly coreMs: { readonly encode: number; readonly decode: number; readonly resize: number };
  /** The ratio where no core ever idles: the encoder's share of those. */
  readonly bound: number;
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
  const { model } = options;
  const name = model === "efficientnet-lite0" ? model : exportedModel(model, size);
  const photos = join(folder, "photos");
  await makeJpegs(photos, count);
  const source = await openDataSet(photos);
  const { encoder } = await openEncoder({ encoder: name, size, threads: Number(options.threads) });
  const context = { signal: new AbortController().signal, progress: () => {}, note: () => {} };
  const batches: { pixels: Uint8Array; count: number }[] = [];
  for await (const { pixels, labels } of imageBatches(source, "train", encoder.preprocessing)) {
    batches.push({ pixels: pixels.slice(), count: labels.length });
  }
  const coreMs = await coreMsOf(source, encoder, batches);
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
    model: options.model,
    size,
    count,
    endToEnd,
    encoderAlone,
    ratio: endToEnd / encoderAlone,
    coreMs,
    bound: coreMs.encode / (coreMs.encode + coreMs.decode + coreMs.resize),
  };
  console.log(JSON.stringify(result));
  await encoder.release();
} finally {
  await rm(folder, { recursive: true, force: true });
}

/** What each part of the work costs when it is done by itself, in CPU time, not wall time. */
async function coreMsOf(
  source: ImageSource,
  encoder: Encoder,
  batches: readonly { pixels: Uint8Array; count: number }[],
): Promise<Extraction["coreMs"]> {
  const images = source.images("train");
  const used = async (work: () => Promise<unknown>, of: number) => {
    const before = process.cpuUsage();
    await work();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000 / of;
  };
  sharp.concurrency(1);
  sharp.cache(false);
  const total = Math.min(images.length, 128);
  const decoded: RgbImage[] = [];
  const decodeAll = async () => {
    decoded.length = 0;
    for (let i = 0; i < total; i++) {
      const item = images.at(i);
      decoded.push(await decodeImage(item.id, await item.open(), item.encoding));
    }
  };
  const resizeAll = async () => {
    for (const image of decoded) preprocess(image, encoder.preprocessing);
  };
  const [first] = batches as [{ pixels: Uint8Array; count: number }];
  const encodeOne = () => encoder.features(first.pixels, first.count);
  // Each once before it is measured: code is compiled, sessions are made.
  await decodeAll();
  await resizeAll();
  await encodeOne();
  const decode = await used(decodeAll, total);
  const resize = await used(resizeAll, total);
  return { decode, resize, encode: await used(encodeOne, first.count) };
}

/** Made photographs of 500 × 375 px, as large as ImageNet's are in the middle: smooth colors with grain. */
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
