import { createHash, type Hash } from "node:crypto";
import { type FileHandle, open, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { BadImage } from "../data/decode-pool.ts";
import { readOrEmpty, replaceFile, sizeOrZero } from "../files/disk.ts";
import {
  BadImageRecord,
  badFile,
  type FeatureCacheHeader,
  featuresFile,
  recordBytes,
  recordCheck,
  rowBytes,
  rowsFile,
} from "./cache-format.ts";

/** An unfinished cache, ready to be written on. */
export interface Recovered {
  /** Open for writing, cut behind the last whole row. */
  readonly features: FileHandle;
  readonly rows: FileHandle;
  /** Hashes of what the two files hold. */
  readonly digests: { readonly features: Hash; readonly rows: Hash };
  readonly rowCount: number;
  /** The first image that is neither in the rows nor known as bad before them. */
  readonly nextIndex: number;
  readonly bad: BadImage[];
}

/**
 * Opens the files of `partial`, new or as a run left them that ended at any moment. Kept are the leading rows
 * whose records and features are whole and that leave out no image but those recorded as bad.
 */
export async function recover(partial: string, header: FeatureCacheHeader): Promise<Recovered> {
  const featuresPath = join(partial, featuresFile);
  const rowsPath = join(partial, rowsFile);
  const badPath = join(partial, badFile);
  const records = await readOrEmpty(rowsPath);
  const whole = Math.min(
    Math.floor((await sizeOrZero(featuresPath)) / rowBytes(header)),
    Math.floor(records.length / recordBytes),
  );
  const known = new Map(parseBad(await readOrEmpty(badPath)).map((image) => [image.index, image]));
  let rowCount = 0;
  let nextIndex = header.start;
  for (; rowCount < whole; rowCount++) {
    let expected = nextIndex;
    while (known.has(expected)) expected++;
    const [index, label, group, check] = [0, 4, 8, 12].map((at) =>
      records.readInt32LE(rowCount * recordBytes + at),
    );
    // Anything else is what a power cut left: a tail of zeros, or a bad image whose line was lost.
    if (index !== expected || check !== recordCheck(index, label!, group!)) break;
    nextIndex = expected + 1;
  }
  const bad = [...known.values()]
    .filter(({ index }) => index >= header.start && index < nextIndex)
    .sort((a, b) => a.index - b.index);
  await replaceFile(badPath, bad.map(badLine).join(""));
  const rows = await openAtLength(rowsPath, rowCount * recordBytes);
  try {
    const features = await openAtLength(featuresPath, rowCount * rowBytes(header));
    const digests = { features: createHash("sha256"), rows: createHash("sha256") };
    digests.rows.update(records.subarray(0, rowCount * recordBytes));
    const kept = features.createReadStream({ autoClose: false, start: 0, highWaterMark: 2 ** 20 });
    for await (const chunk of kept) digests.features.update(chunk);
    return { features, rows, digests, rowCount, nextIndex, bad };
  } catch (error) {
    await rows.close();
    throw error;
  }
}

/** A bad image's line in `bad.jsonl`. */
export function badLine({ id, index, reason }: BadImage): string {
  return `${JSON.stringify({ id, index, reason })}\n`;
}

/** The lines up to the first that is not whole. */
function parseBad(bytes: Buffer): BadImage[] {
  const images: BadImage[] = [];
  for (const line of bytes.toString("utf8").split("\n").slice(0, -1)) {
    try {
      images.push(BadImageRecord.parse(JSON.parse(line)));
    } catch {
      break;
    }
  }
  return images;
}

async function openAtLength(path: string, bytes: number): Promise<FileHandle> {
  await writeFile(path, "", { flag: "a" });
  await truncate(path, bytes);
  return open(path, "r+");
}
