import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { listed } from "../data/image-source.ts";
import { DataError, UsageError } from "../errors.ts";
import { makeFolders, onDisk, replaceFile, sizeOrZero, writeAll } from "../files/disk.ts";
import { lockFolder } from "../files/lock.ts";
import { formatCount, formatMany } from "../format.ts";
import {
  damaged,
  type FeatureCacheHeader,
  type FeatureCacheSpec,
  featureCachePath,
  featuresFile,
  headerFile,
  headerOf,
  partRange,
  readHeader,
  recordBytes,
  rowBytes,
  rowsFile,
  sealHeader,
} from "./cache-format.ts";
import { partialOf, publish } from "./cache-writer.ts";

/** A complete part of a sharded cache. */
interface Part {
  readonly folder: string;
  readonly complete: NonNullable<FeatureCacheHeader["complete"]>;
}

/** Parts may have no image where there are more parts than images, within reason. */
const mostEmptyParts = 10_000;

/**
 * Joins the `count` parts of a cache that was extracted in shards under `root` into one and returns its folder.
 * The parts are compared with their hashes on the way and left where they are; memory does not grow with them.
 *
 * Throws DataError naming the parts that are missing, unfinished or damaged.
 */
export async function mergeFeatureCaches(
  root: string,
  spec: Omit<FeatureCacheSpec, "part">,
  count: number,
  note?: (message: string) => void,
): Promise<string> {
  const path = featureCachePath(root, spec);
  if (count > Math.max(mostEmptyParts, spec.images)) {
    throw new UsageError(
      `${formatMany(spec.images, "image")} cannot have been extracted in ${formatCount(count)} parts. Give the number of parts ` +
        "that there are.",
    );
  }
  const parts = await completeParts(root, spec, count);
  const merging = `${path}.merging`;
  await onDisk(merging, () => makeFolders(merging), "cacheFolder");
  const lock = await lockFolder(merging, note);
  try {
    const complete = {
      rows: parts.reduce((sum, part) => sum + part.complete.rows, 0),
      bad: parts.flatMap((part) => part.complete.bad),
      sha256: {
        features: await concatenate(merging, featuresFile, parts, "features"),
        rows: await concatenate(merging, rowsFile, parts, "rows"),
      },
    };
    await onDisk(merging, async () => {
      await replaceFile(join(merging, headerFile), sealHeader({ ...headerOf(spec), complete }));
      await publish(merging, path);
    });
  } finally {
    await lock.release();
  }
  return path;
}

async function completeParts(
  root: string,
  spec: Omit<FeatureCacheSpec, "part">,
  count: number,
): Promise<Part[]> {
  const parts: Part[] = [];
  const missing: string[] = [];
  for (let index = 0; index < count; index++) {
    const folder = featureCachePath(root, { ...spec, part: { index, count } });
    const range = partRange(spec.images, { index, count });
    if ((await sizeOrZero(join(folder, headerFile))) === 0) {
      const rows = Math.floor((await sizeOrZero(join(partialOf(folder), rowsFile))) / recordBytes);
      missing.push(`${index} (${rows} of ${range.end - range.start} images)`);
      continue;
    }
    const header = await readHeader(folder);
    if (header.complete === null || header.start !== range.start || header.end !== range.end) {
      throw damaged(folder, `its header does not say that it is part ${index} of ${count}`);
    }
    for (const [file, bytes] of [
      [featuresFile, header.complete.rows * rowBytes(header)],
      [rowsFile, header.complete.rows * recordBytes],
    ] as const) {
      const size = await sizeOrZero(join(folder, file));
      if (size !== bytes) throw damaged(folder, `${file} has ${size} bytes, not ${bytes}`);
    }
    parts.push({ folder, complete: header.complete });
  }
  if (missing.length > 0) {
    throw new DataError(
      `Of the ${count} parts of the features in ${root}, ${missing.length} ${missing.length === 1 ? "is" : "are"} ` +
        `missing or unfinished: part ${listed(missing)}. Extract them, then merge again.`,
    );
  }
  return parts;
}

/** Writes the parts' files one after the other; returns the hash of the whole. */
async function concatenate(
  merging: string,
  name: string,
  parts: readonly Part[],
  key: "features" | "rows",
): Promise<string> {
  const target = await onDisk(merging, () => open(join(merging, name), "w"));
  const whole = createHash("sha256");
  try {
    let position = 0;
    for (const { folder, complete } of parts) {
      const own = createHash("sha256");
      const pieces = createReadStream(join(folder, name), { highWaterMark: 4 * 2 ** 20 });
      for await (const piece of pieces as AsyncIterable<Buffer>) {
        own.update(piece);
        whole.update(piece);
        await append(merging, target, piece, position);
        position += piece.length;
      }
      if (own.digest("hex") !== complete.sha256[key])
        throw damaged(folder, `the contents of ${name} have changed`);
    }
    await onDisk(merging, () => target.sync());
  } finally {
    await target.close();
  }
  return whole.digest("hex");
}

function append(merging: string, target: FileHandle, piece: Buffer, position: number): Promise<void> {
  return onDisk(merging, () => writeAll(target, piece, position));
}
