import { withBytes } from "../data/decode-item.ts";
import { type BadImage, imageBatches, tooManyBad } from "../data/decode-pool.ts";
import type { ImageSource, Split } from "../data/image-source.ts";
import type { Encoder } from "../encoder/encoder.ts";
import { imagesACall } from "../encoder/images-per-call.ts";
import { temporaryFolder } from "../files/temporary.ts";
import { localHelper } from "../helpers/local.ts";
import { HelperPool } from "../helpers/pool.ts";
import { startHelper } from "../helpers/process.ts";
import { storeForward } from "../onnx-vjp/runtime/stored.ts";
import { type EncodeReply, type EncodeSetup, type EncodeTask, encodeService } from "./encode-service.ts";

/** Features of some images of a split, in its order. */
export interface EncodedBatch {
  /** b × d. */
  readonly features: Float32Array;
  /** Class of each image, b. */
  readonly labels: Int32Array;
  /** Index in the split of each image, b. */
  readonly indices: Int32Array;
  /** The images of this batch that could not be read and are not among the b; b may be 0. */
  readonly bad: readonly BadImage[];
}

export interface EncodeOptions {
  readonly indices: Int32Array;
  /** Images in a batch. */
  readonly batchSize: number;
  /** How many unreadable images are skipped before the rest is given up. */
  readonly maxBad: number;
  /** Unreadable images that were skipped before these: they count, too. */
  readonly skipped: readonly BadImage[];
}

/** Tasks that a process has or that are on their way to it, so that it never waits for the next one. */
const ahead = 2;

/** Images for which another process is worth its start. */
const worthProcess = 64;

/**
 * Features of a split's images. On the CPU, processes with one thread each read, decode and encode them, one for each of
 * the encoder's threads: features have the same bits for any number. On a device, images are decoded beside it.
 * @throws DataError where more than `maxBad` images cannot be read; NumericalError naming an image
 */
export async function* encodedBatches(
  source: ImageSource,
  split: Split,
  encoder: Encoder,
  options: EncodeOptions,
): AsyncGenerator<EncodedBatch, void, undefined> {
  if (encoder.threads === undefined) yield* encodedHere(source, split, encoder, options);
  else yield* encodedByProcesses(source, split, encoder, encoder.threads, options);
}

async function* encodedHere(
  source: ImageSource,
  split: Split,
  encoder: Encoder,
  options: EncodeOptions,
): AsyncGenerator<EncodedBatch, void, undefined> {
  const images = source.images(split);
  for await (const batch of imageBatches(source, split, encoder.preprocessing, options)) {
    const { labels, indices, bad } = batch;
    const nameOf = (i: number) => images.at(indices[i]).id;
    yield {
      features: await encoder.features(batch.pixels, labels.length, nameOf),
      labels,
      indices,
      bad,
    };
  }
}

async function* encodedByProcesses(
  source: ImageSource,
  split: Split,
  encoder: Encoder,
  threads: number,
  { indices, batchSize, maxBad, skipped }: EncodeOptions,
): AsyncGenerator<EncodedBatch, void, undefined> {
  if (indices.length === 0) return;
  const images = source.images(split);
  const folder = await temporaryFolder("encoder");
  const processes = Math.min(threads, Math.ceil(indices.length / worthProcess));
  const pool = await openPool(encoder, folder.path, processes).catch(async (error: unknown) => {
    await folder.remove();
    throw error;
  });
  const batches = Math.ceil(indices.length / batchSize);
  const under: Promise<EncodeReply>[] = [];
  const indicesOf = (batch: number) => indices.subarray(batch * batchSize, (batch + 1) * batchSize);
  let started = 0;
  const start = () => {
    if (started >= batches) return;
    const wanted = indicesOf(started++);
    const reply = Promise.all(Array.from(wanted, (index) => withBytes(images.at(index)))).then((items) =>
      pool.run({ kind: "encode", items }),
    );
    // Awaited when its turn comes; failing before that is not an unhandled rejection.
    reply.catch(() => undefined);
    under.push(reply);
  };
  try {
    for (let i = 0; i < pool.size * ahead; i++) start();
    const bad = [...skipped];
    for (let batch = 0; batch < batches; batch++) {
      const reply = await under.shift()!;
      const wanted = indicesOf(batch);
      const badHere = reply.bad.map(({ place, reason }) => {
        const index = wanted[place];
        return { id: images.at(index).id, index, reason };
      });
      bad.push(...badHere);
      if (bad.length > maxBad) throw tooManyBad(source.name, bad, maxBad);
      start();
      const kept = Int32Array.from(reply.good, (place) => wanted[place]);
      yield {
        features: reply.features,
        labels: kept.map((index) => images.labels[index]),
        indices: kept,
        bad: badHere,
      };
    }
  } finally {
    await pool.end();
    await folder.remove();
  }
}

type EncodePool = HelperPool<EncodeSetup, EncodeTask, EncodeReply>;

/** Processes that encode; one alone is this one. */
async function openPool(encoder: Encoder, folder: string, processes: number): Promise<EncodePool> {
  const { preprocessing, featureSize, fixedBatch, bytesPerImage } = encoder;
  const batch = fixedBatch ?? imagesACall({ device: "cpu", threads: 1 }, bytesPerImage);
  await storeForward(folder, await encoder.forwardGraph(batch));
  const shape = { batch, crop: preprocessing.crop, featureSize, id: encoder.provenance.id };
  const setup: EncodeSetup = { kind: "start", folder, shape, preprocessing };
  const here = () => localHelper(encodeService(), { kind: "end" });
  return new HelperPool(processes === 1 ? here : startHelper, processes, "features", setup);
}
