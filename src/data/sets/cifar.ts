import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { DataError, messageOf } from "../../errors.ts";
import { readLines } from "../../files/text-files.ts";
import { rangeItem } from "../file-item.ts";
import type { ImageSource, Split } from "../image-source.ts";
import { digestRecords, imageList, type ListedSplit, listedSource } from "../listed-source.ts";
import { cifarEncoding, cifarPickles, cifarPixelBytes, openCifarPickles } from "./cifar-pickles.ts";

interface Format {
  readonly folder: string;
  /** Label bytes before the pixels; the last is the label. */
  readonly labelBytes: number;
  readonly classFile: string;
  readonly files: Readonly<Record<"train" | "test", readonly string[]>>;
}

const formats: Readonly<Record<"cifar-10" | "cifar-100", Format>> = {
  "cifar-10": {
    folder: "cifar-10-batches-bin",
    labelBytes: 1,
    classFile: "batches.meta.txt",
    files: { train: [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`), test: ["test_batch.bin"] },
  },
  "cifar-100": {
    folder: "cifar-100-binary",
    labelBytes: 2,
    classFile: "fine_label_names.txt",
    files: { train: ["train.bin"], test: ["test.bin"] },
  },
};

/**
 * CIFAR-10 and CIFAR-100 (fine labels), binary version: records of one or two label bytes and 3 × 32 × 32 pixels.
 * Opening passes over the files once, for labels and hash; pixels are read by range. The fingerprint covers the
 * files' contents. The Python version is read where that is there instead.
 */
export async function openCifar(root: string, name: "cifar-10" | "cifar-100"): Promise<ImageSource> {
  const format = formats[name];
  const base = existsSync(join(root, format.folder)) ? join(root, format.folder) : root;
  const pickles = existsSync(join(base, format.classFile)) ? undefined : cifarPickles(root, name);
  if (pickles !== undefined) return openCifarPickles(pickles, name);
  const classes = (await readLines(base, format.classFile)).map(({ text }) => text);
  const splits = new Map<Split, ListedSplit>();
  for (const split of ["train", "test"] as const) {
    const labels: number[] = [];
    const hashes: string[] = [];
    const starts: number[] = [];
    const paths = format.files[split].map((file) => join(base, file));
    for (const path of paths) {
      starts.push(labels.length);
      hashes.push(await readLabels(path, format.labelBytes, classes.length, labels));
    }
    const record = format.labelBytes + cifarPixelBytes;
    const images = imageList(Int32Array.from(labels), undefined, (index, label) => {
      const file = starts.findLastIndex((start) => start <= index);
      const place = index - starts[file];
      const range = {
        path: paths[file],
        start: place * record + format.labelBytes,
        length: cifarPixelBytes,
      };
      return rangeItem(`${basename(range.path)} record ${place}`, range, cifarEncoding, label);
    });
    splits.set(split, {
      images,
      async digest(digest) {
        digestRecords(digest, images, hashes);
      },
    });
  }
  return listedSource({ name, format: "cifar, contents", classes, splits });
}

/** Adds a file's labels to `labels` and returns its hash. */
async function readLabels(
  path: string,
  labelBytes: number,
  classCount: number,
  labels: number[],
): Promise<string> {
  const record = labelBytes + cifarPixelBytes;
  const digest = createHash("sha256");
  let position = 0;
  try {
    const { size } = await stat(path);
    if (size === 0 || size % record !== 0) {
      throw new DataError(
        `${path} has ${size} bytes, which is not a whole number of records of ${record}: it is truncated or not a file ` +
          "of the binary version. Download it again.",
      );
    }
    for await (const piece of createReadStream(path, { highWaterMark: 2 ** 20 }) as AsyncIterable<Buffer>) {
      digest.update(piece);
      let next = Math.ceil((position - labelBytes + 1) / record) * record + labelBytes - 1;
      for (; next < position + piece.length; next += record) {
        const label = piece[next - position];
        if (label >= classCount) {
          throw new DataError(
            `${path}: record ${Math.floor(next / record)} has the label ${label}, but there are ${classCount} classes. ` +
              "The file is damaged or not of this data set.",
          );
        }
        labels.push(label);
      }
      position += piece.length;
    }
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    throw new DataError(`${path} cannot be read: ${messageOf(cause)}`, { cause });
  }
  return digest.digest("hex");
}
