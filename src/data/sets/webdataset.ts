import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { DataError } from "../../errors.ts";
import { readLines, safePath, shown, wholeNumber } from "../../files/text-files.ts";
import { rangeItem } from "../file-item.ts";
import { imageExtensions } from "../folder-scan.ts";
import type { ImageSource, Split } from "../source.ts";
import { digestRecords, imageList, type ListedSplit, listedSource } from "./listed-source.ts";
import { bySplit, valAsTest } from "./split-name.ts";
import { tarEntries } from "./tar.ts";

/** Files beside the shards that name the classes, one a line. */
const nameFiles = ["classnames.txt", "classes.txt"];
const mostClasses = 1_000_000;

/**
 * WebDataset shards: tar archives of `key.jpg` (or .png, .webp, …) and `key.cls`, a class number. One pass over the
 * shards' headers makes an index; images are then read by range, nothing is unpacked. A shard's split is the one its
 * name or folder says; class names are the lines of classnames.txt where it is there, else numbers. The fingerprint
 * covers keys, labels and where the bytes lie.
 *
 * @param files the shards' paths under `root`
 */
export async function openWebDataset(
  root: string,
  name: string,
  files: readonly string[],
): Promise<ImageSource> {
  const { splits: shards, notes } = bySplit(files);
  const found = new Map<Split, Index>();
  for (const [split, paths] of shards) found.set(split, await indexOf(root, paths));
  const nameFile = nameFiles.find((file) => existsSync(join(root, file)));
  const names =
    nameFile === undefined ? undefined : (await readLines(root, nameFile)).map(({ text }) => text);
  const most = [...found.values()].reduce(
    (top, { labels }) => labels.reduce((a, b) => Math.max(a, b), top),
    -1,
  );
  if (names !== undefined && most >= names.length) {
    throw new DataError(
      `${name}: an image has the class ${most}, but ${nameFile} names ${names.length} classes (0 to ${names.length - 1}).`,
    );
  }
  valAsTest(found, notes);
  return listedSource({
    name,
    format: "webdataset, keys and ranges",
    classes: names ?? Array.from({ length: most + 1 }, (_, c) => String(c)),
    notes: notes.map((note) => `${name}: ${note}`),
    splits: new Map([...found].map(([split, index]) => [split, splitOf(root, index)])),
  });
}

/** Where the images of a split lie; parallel arrays. */
interface Index {
  readonly paths: readonly string[];
  readonly sizes: number[];
  readonly keys: string[];
  readonly shards: number[];
  readonly starts: number[];
  readonly lengths: number[];
  readonly labels: number[];
}

async function indexOf(root: string, paths: readonly string[]): Promise<Index> {
  const index: Index = { paths, sizes: [], keys: [], shards: [], starts: [], lengths: [], labels: [] };
  for (const [shard, path] of paths.entries()) {
    index.sizes.push((await stat(join(root, path))).size);
    /** The sample that is being read: a sample's files follow each other. */
    let sample: { key: string; image?: { start: number; length: number }; label?: number } | undefined;
    const finish = () => {
      if (sample === undefined) return;
      const { key, image, label } = sample;
      if (image === undefined) return;
      if (label === undefined) {
        throw new DataError(
          `${join(root, path)}: the image "${key}" has no ${shown(key)}.cls beside it. Pack class numbers with it.`,
        );
      }
      index.keys.push(key);
      index.shards.push(shard);
      index.starts.push(image.start);
      index.lengths.push(image.length);
      index.labels.push(label);
    };
    for await (const entry of tarEntries(join(root, path))) {
      const where = `${join(root, path)}, ${shown(entry.path)}`;
      const { key, extension } = parts(safePath(entry.path, where));
      if (sample === undefined || sample.key !== key) {
        finish();
        sample = { key };
      }
      if (extension === "cls") {
        if (entry.length > 64) throw new DataError(`${where}: a class number has at most 64 bytes.`);
        const text = new TextDecoder().decode(await entry.read());
        sample.label = wholeNumber(text, 0, mostClasses, "class", where);
      } else if (imageExtensions.includes(`.${extension}`) && sample.image === undefined) {
        sample.image = { start: entry.start, length: entry.length };
      }
    }
    finish();
  }
  return index;
}

/** A sample's files share all up to the first dot of their name. */
function parts(path: string): { key: string; extension: string } {
  const dot = path.indexOf(".", path.lastIndexOf("/") + 1);
  return dot < 0
    ? { key: path, extension: "" }
    : { key: path.slice(0, dot), extension: path.slice(dot + 1).toLowerCase() };
}

function splitOf(root: string, index: Index): ListedSplit {
  const shards = Int32Array.from(index.shards);
  const starts = Float64Array.from(index.starts);
  const lengths = Float64Array.from(index.lengths);
  const { keys, paths, sizes } = index;
  const images = imageList(Int32Array.from(index.labels), undefined, (i, label) => {
    const shard = paths[shards[i]!]!;
    const range = { path: join(root, shard), start: starts[i]!, length: lengths[i]! };
    return rangeItem(`${shard}/${keys[i]}`, range, { kind: "raster" }, label);
  });
  return {
    images,
    async digest(digest) {
      digestRecords(digest, images, sizes);
      digest.update(starts).update(lengths);
    },
  };
}
