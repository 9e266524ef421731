import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { DataError, messageOf } from "../../errors.ts";
import { ByteArray, type Pickled, readPickle } from "../../files/pickle.ts";
import { readBounded } from "../../files/read-bounded.ts";
import type { Encoding, Item } from "../../images/types.ts";
import { rangeItem } from "../file-item.ts";
import type { ImageSource, Split } from "../image-source.ts";
import { digestRecords, imageList, type ListedSplit, listedSource } from "../listed-source.ts";

/** An image of either set, as all versions of its files have it. */
export const cifarEncoding: Encoding = { kind: "pixels", width: 32, height: 32, channels: 3, layout: "chw" };
export const cifarPixelBytes = 3 * 32 * 32;
/** CIFAR-100's training images have 155 MB. */
const mostBytes = 512 * 2 ** 20;

interface Format {
  readonly folder: string;
  readonly labels: string;
  readonly meta: string;
  readonly names: string;
  readonly files: Readonly<Record<"train" | "test", readonly string[]>>;
}

const formats: Readonly<Record<"cifar-10" | "cifar-100", Format>> = {
  "cifar-10": {
    folder: "cifar-10-batches-py",
    labels: "labels",
    meta: "batches.meta",
    names: "label_names",
    files: { train: [1, 2, 3, 4, 5].map((i) => `data_batch_${i}`), test: ["test_batch"] },
  },
  "cifar-100": {
    folder: "cifar-100-python",
    labels: "fine_labels",
    meta: "meta",
    names: "fine_label_names",
    files: { train: ["train"], test: ["test"] },
  },
};

/** The folder under `root` that holds the Python version's files, or undefined. */
export function cifarPickles(root: string, name: "cifar-10" | "cifar-100"): string | undefined {
  const { folder, meta, files } = formats[name];
  const all = [meta, ...files.train, ...files.test];
  return [join(root, folder), root].find((base) => all.every((file) => existsSync(join(base, file))));
}

/**
 * CIFAR-10 and CIFAR-100 (fine labels), Python version: pickles of arrays, of which nothing is run. Pixels are read by
 * range from where they are in the pickles, or held where a pickle has them in another form. The fingerprint covers the
 * files' contents.
 */
export async function openCifarPickles(base: string, name: "cifar-10" | "cifar-100"): Promise<ImageSource> {
  const format = formats[name];
  const meta = await dictionary(join(base, format.meta));
  const classes = texts(meta.content.get(format.names), `${join(base, format.meta)}: ${format.names}`);
  const splits = new Map<Split, ListedSplit>();
  for (const split of ["train", "test"] as const) {
    const batches: Batch[] = [];
    for (const file of format.files[split])
      batches.push(await readBatch(join(base, file), format.labels, classes.length));
    splits.set(split, splitOf(batches));
  }
  return listedSource({ name, format: "cifar pickles, contents", classes, splits });
}

interface Batch {
  readonly path: string;
  readonly labels: readonly number[];
  readonly hash: string;
  /** Where the pixels begin in the file; or the pixels. */
  readonly pixels: number | Uint8Array;
}

function splitOf(batches: readonly Batch[]): ListedSplit {
  const starts: number[] = [];
  const labels: number[] = [];
  for (const batch of batches) {
    starts.push(labels.length);
    for (const label of batch.labels) labels.push(label);
  }
  const images = imageList(Int32Array.from(labels), undefined, (index, label): Item => {
    const place = starts.findLastIndex((start) => start <= index);
    const { path, pixels } = batches[place];
    const record = index - starts[place];
    const id = `${basename(path)} record ${record}`;
    const from = record * cifarPixelBytes;
    if (typeof pixels === "number") {
      return rangeItem(id, { path, start: pixels + from, length: cifarPixelBytes }, cifarEncoding, label);
    }
    return {
      id,
      label,
      encoding: cifarEncoding,
      open: async () => pixels.slice(from, from + cifarPixelBytes),
    };
  });
  const hashes = batches.map(({ hash }) => hash);
  return { images, digest: async (digest) => digestRecords(digest, images, hashes) };
}

async function readBatch(path: string, labelKey: string, classCount: number): Promise<Batch> {
  const { content, bytes } = await dictionary(path);
  const data = content.get("data");
  if (!(data instanceof ByteArray) || data.shape.length !== 2 || data.shape[1] !== cifarPixelBytes)
    throw new DataError(`${path} has no "data" of n × ${cifarPixelBytes} bytes. Download it again.`);
  const found = content.get(labelKey);
  const labels = Array.isArray(found) ? (found as readonly Pickled[]) : [];
  if (labels.length !== data.shape[0])
    throw new DataError(
      `${path} has ${data.shape[0]} images and ${labels.length} "${labelKey}". Download it again.`,
    );
  const numbers = labels.map((label, i) => {
    if (typeof label === "number" && Number.isInteger(label) && label >= 0 && label < classCount)
      return label;
    throw new DataError(
      `${path}: image ${i} has the label ${String(label)}, but there are ${classCount} classes. The file is damaged or ` +
        "not of this data set.",
    );
  });
  const isView = data.bytes.buffer === bytes.buffer;
  return {
    path,
    labels: numbers,
    hash: createHash("sha256").update(bytes).digest("hex"),
    pixels: isView ? data.bytes.byteOffset - bytes.byteOffset : data.bytes,
  };
}

async function dictionary(path: string): Promise<{ content: ReadonlyMap<string, Pickled>; bytes: Buffer }> {
  try {
    const bytes = await readBounded(path, mostBytes, (head) => {
      // Protocol 2 and later say so; before, a dictionary begins with a mark.
      if (head[0] !== 0x80 && head[0] !== 0x28) throw new Error("it is not a pickle");
    });
    const content = readPickle(bytes);
    if (!(content instanceof Map)) throw new Error("it is not a dictionary");
    return { content, bytes };
  } catch (cause) {
    throw new DataError(`${path} cannot be read as a pickle: ${messageOf(cause)}. Download it again.`, {
      cause,
    });
  }
}

function texts(value: Pickled | undefined, where: string): string[] {
  const list = Array.isArray(value) ? (value as readonly Pickled[]) : [];
  const names = list.map((item) => (item instanceof Uint8Array ? new TextDecoder().decode(item) : item));
  if (names.length === 0 || !names.every((item) => typeof item === "string"))
    throw new DataError(`${where} is not a list of names. Download it again.`);
  return names as string[];
}
