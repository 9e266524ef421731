import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type * as z from "zod";
import type { BadImage } from "../data/decode-pool.ts";
import { readOrEmpty, replaceFile, sizeOrZero } from "../files/disk.ts";
import {
  BadImageRecord,
  badFile,
  type FeatureCacheHeader,
  featuresFile,
  HashLine,
  hashesFile,
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
  /** What the person should know: that rows were written whole once and are not any more. */
  readonly note: string | undefined;
}

/**
 * Opens the files of `partial`, new or as a run left them that ended at any moment. Kept are the leading rows
 * whose records are whole, whose features have the hash that was recorded with them, and that leave out no image but
 * those recorded as bad.
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
  const known = new Map(
    parseLines(await readOrEmpty(badPath), BadImageRecord).map((bad) => [bad.index, bad]),
  );
  /** The image after each row, of the leading rows whose records are whole. */
  const next: number[] = [];
  for (let row = 0; row < whole; row++) {
    let expected = next.at(-1) ?? header.start;
    while (known.has(expected)) expected++;
    const [index, label, group, check] = [0, 4, 8, 12].map((at) =>
      records.readInt32LE(row * recordBytes + at),
    );
    // Anything else is what a power cut left: a tail of zeros, or a bad image whose line was lost.
    if (index !== expected || check !== recordCheck(index, label!, group!)) break;
    next.push(expected + 1);
  }
  const hashesPath = join(partial, hashesFile);
  const lines = parseLines(await readOrEmpty(hashesPath), HashLine);
  const kept = await matchingLines(featuresPath, lines, next.length, rowBytes(header));
  const rowCount = kept.lines.at(-1)?.rows ?? 0;
  const nextIndex = next[rowCount - 1] ?? header.start;
  const bad = [...known.values()]
    .filter(({ index }) => index >= header.start && index < nextIndex)
    .sort((a, b) => a.index - b.index);
  await replaceFile(badPath, bad.map(badLine).join(""));
  await replaceFile(hashesPath, kept.lines.map(hashLine).join(""));
  const rows = await openAtLength(rowsPath, rowCount * recordBytes);
  try {
    const features = await openAtLength(featuresPath, rowCount * rowBytes(header));
    const digests = { features: kept.digest, rows: createHash("sha256") };
    digests.rows.update(records.subarray(0, rowCount * recordBytes));
    // A kill may leave records, or a hash, without the other; not records and a hash that disagree.
    const lost = lines.some((line) => line.rows > rowCount && line.rows <= whole);
    const unknown = lines.length === 0 && next.length > 0;
    const note =
      lost || unknown
        ? `The unfinished features in ${partial} ${unknown ? "have no hashes" : "do not match their hashes"} from image ` +
          `${nextIndex} on: they are extracted again from there.`
        : undefined;
    return { features, rows, digests, rowCount, nextIndex, bad, note };
  } catch (error) {
    await rows.close();
    throw error;
  }
}

/**
 * The leading lines, of at most `rows` rows, whose hash the file of features has, and the state of the hash after the
 * last of them. The file is read once, in pieces.
 */
async function matchingLines(
  path: string,
  lines: readonly HashLine[],
  rows: number,
  bytesPerRow: number,
): Promise<{ lines: HashLine[]; digest: Hash }> {
  const matching: HashLine[] = [];
  let digest = createHash("sha256");
  let done = 0;
  for (const line of lines) {
    const end = line.rows * bytesPerRow;
    if (line.rows > rows || end <= done) break;
    const longer = digest.copy();
    const pieces = createReadStream(path, { start: done, end: end - 1, highWaterMark: 2 ** 20 });
    for await (const piece of pieces as AsyncIterable<Buffer>) longer.update(piece);
    if (longer.copy().digest("hex") !== line.features) break;
    digest = longer;
    matching.push(line);
    done = end;
  }
  return { lines: matching, digest };
}

/** A bad image's line in `bad.jsonl`. */
export function badLine({ id, index, reason }: BadImage): string {
  return `${JSON.stringify({ id, index, reason })}\n`;
}

/** A line of `hashes.jsonl`. */
export function hashLine(line: HashLine): string {
  return `${JSON.stringify(line)}\n`;
}

/** The lines up to the first that is not whole. */
function parseLines<Line>(bytes: Buffer, schema: z.ZodType<Line>): Line[] {
  const found: Line[] = [];
  for (const line of bytes.toString("utf8").split("\n").slice(0, -1)) {
    try {
      found.push(schema.parse(JSON.parse(line)));
    } catch {
      break;
    }
  }
  return found;
}

async function openAtLength(path: string, bytes: number): Promise<FileHandle> {
  await writeFile(path, "", { flag: "a" });
  await truncate(path, bytes);
  return open(path, "r+");
}
