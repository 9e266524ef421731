import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { join } from "node:path";
import { createGunzip, gunzipSync } from "node:zlib";
import { DataError, messageOf } from "../../errors.ts";
import { readBounded } from "../../files/read-bounded.ts";
import { requireRegular } from "../../files/regular-file.ts";
import type { Encoding, Item } from "../../images/types.ts";
import { rangeItem } from "../file-item.ts";
import type { ImageSource, Split } from "../image-source.ts";
import { digestRecords, imageList, type ListedSplit, listedSource } from "../listed-source.ts";

/** What the halves of the data set are called. */
const prefixes = { train: "train", test: "t10k" } as const;
/** The largest file of this kind that is known, EMNIST's, has 550 MB. */
const mostBytes = 640 * 2 ** 20;
/** Images shrink to a fifth, blank ones to a two hundredth; short lists of labels to anything. */
const mostRatio = 200;
const allowedBytes = 2 ** 20;

/** The file of a part of an idx data set: with a dash or a dot before `idx`, compressed or not. */
export function idxFile(
  root: string,
  split: "train" | "test",
  what: "images" | "labels",
): string | undefined {
  const dims = what === "images" ? 3 : 1;
  for (const mark of ["-", "."]) {
    for (const end of ["", ".gz"]) {
      const path = join(root, `${prefixes[split]}-${what}${mark}idx${dims}-ubyte${end}`);
      if (existsSync(path)) return path;
    }
  }
  return undefined;
}

/**
 * MNIST and what is made like it, in idx files. Compressed images are inflated into memory (47 MB for MNIST);
 * others are read by range. The fingerprint covers the contents.
 * @param classes names of the labels; where absent they are numbered
 */
export async function openIdx(root: string, name: string, classes?: readonly string[]): Promise<ImageSource> {
  const splits = new Map<Split, ListedSplit>();
  let classCount = classes?.length ?? 0;
  const found: { split: "train" | "test"; labels: Uint8Array; path: string }[] = [];
  for (const split of ["train", "test"] as const) {
    const path = idxFile(root, split, "labels");
    if (path === undefined)
      throw new DataError(`${name}: ${root} has no ${prefixes[split]}-labels-idx1-ubyte(.gz).`);
    const { dims, data } = await readIdx(path, 1);
    const labels = data.subarray(0, dims[0]);
    for (const [i, label] of labels.entries()) {
      if (classes !== undefined && label >= classes.length) {
        throw new DataError(
          `${path}: image ${i} has the label ${label}, but there are ${classes.length} classes.`,
        );
      }
      if (classes === undefined) classCount = Math.max(classCount, label + 1);
    }
    found.push({ split, labels, path });
  }
  for (const { split, labels, path } of found)
    splits.set(split, await idxSplit(root, name, split, labels, path));
  return listedSource({
    name,
    format: "idx, contents",
    classes: classes ?? Array.from({ length: classCount }, (_, c) => String(c)),
    splits,
  });
}

async function idxSplit(
  root: string,
  name: string,
  split: "train" | "test",
  labels: Uint8Array,
  labelPath: string,
): Promise<ListedSplit> {
  const path = idxFile(root, split, "images");
  if (path === undefined)
    throw new DataError(`${name}: ${root} has no ${prefixes[split]}-images-idx3-ubyte(.gz).`);
  const { dims, data, header, compressed } = await readIdx(path, 3);
  const [count, height, width] = dims as [number, number, number];
  if (count !== labels.length) {
    throw new DataError(`${path} has ${count} images, but ${labelPath} has ${labels.length} labels.`);
  }
  const hash = createHash("sha256").update(data).digest("hex");
  const encoding: Encoding = { kind: "pixels", width, height, channels: 1, layout: "hwc" };
  const length = width * height;
  // What is held is only what cannot be read by range.
  const held = compressed ? data : undefined;
  const images = imageList(Int32Array.from(labels), undefined, (index, label): Item => {
    const id = `${split} ${index}`;
    if (held === undefined) {
      return rangeItem(id, { path, start: header + index * length, length }, encoding, label);
    }
    // A copy: what is sent to a decoding thread would take the whole file along.
    return { id, label, encoding, open: async () => held.slice(index * length, (index + 1) * length) };
  });
  return {
    images,
    async digest(digest) {
      digestRecords(digest, images, [hash, dims]);
    },
  };
}

/** The array of an idx file of unsigned bytes: its dimensions and its data. */
async function readIdx(
  path: string,
  rank: 1 | 3,
): Promise<{ dims: number[]; data: Uint8Array; header: number; compressed: boolean }> {
  const compressed = path.endsWith(".gz");
  const header = 4 + 4 * rank;
  const what = rank === 1 ? "labels" : "images";
  let size: number;
  let head: Buffer;
  try {
    // Opening a pipe would wait for its writer.
    size = await requireRegular(path);
    head = await firstBytes(path, compressed, header);
  } catch (cause) {
    throw new DataError(`${path} cannot be read: ${messageOf(cause)}. Download it again.`, { cause });
  }
  const magic = head.length >= header ? head.readUInt32BE(0) : undefined;
  // Two zeros, 8 for unsigned bytes, the number of dimensions.
  if (magic !== 0x0800 + rank) {
    const given = magic === undefined ? `${head.length} bytes` : `the magic number ${magic}`;
    throw new DataError(
      `${path} is not an IDX file of ${what}: it has ${given}, expected the magic number ${0x0800 + rank}.`,
    );
  }
  const dims = Array.from({ length: rank }, (_, i) => head.readUInt32BE(4 + 4 * i));
  const wanted = dims.reduce((product, dim) => product * dim, 1);
  const most = compressed ? Math.min(mostBytes, allowedBytes + mostRatio * size) : mostBytes;
  if (wanted > most) {
    throw new DataError(
      `${path} says to be ${dims.join(" × ")}, which is more than the ${most} bytes that a file of ${size} can have: it ` +
        "is damaged. Download it again.",
    );
  }
  let bytes: Buffer;
  try {
    const raw = await readBounded(path, mostBytes);
    bytes = compressed ? gunzipSync(raw, { maxOutputLength: header + wanted + 1 }) : raw;
  } catch (cause) {
    const isMore = (cause as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE";
    const why = isMore
      ? `it unpacks to more than the ${dims.join(" × ")} that it says to be`
      : messageOf(cause);
    throw new DataError(`${path} cannot be read: ${why}. Download it again.`, { cause });
  }
  if (bytes.length - header !== wanted || wanted === 0) {
    throw new DataError(
      `${path} says to be ${dims.join(" × ")} but has ${bytes.length - header} bytes of data: it is truncated or ` +
        "damaged. Download it again.",
    );
  }
  return { dims, data: bytes.subarray(header), header, compressed };
}

/** The first `count` bytes of a file, unpacked; fewer where it has no more. */
async function firstBytes(path: string, compressed: boolean, count: number): Promise<Buffer> {
  const file = createReadStream(path, compressed ? {} : { end: count - 1 });
  const pieces: Buffer[] = [];
  let length = 0;
  const source = compressed ? file.pipe(createGunzip()) : file;
  // An error of the file does not pass through the pipe.
  file.once("error", (error) => source.destroy(error));
  try {
    for await (const piece of source as AsyncIterable<Buffer>) {
      pieces.push(piece);
      length += piece.length;
      if (length >= count) break;
    }
  } finally {
    file.destroy();
  }
  return Buffer.concat(pieces).subarray(0, count);
}
