import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { DataError } from "../../errors.ts";
import { readLines, safePath, shown, wholeNumber } from "../../files/text-files.ts";
import { rangeItem } from "../file-item.ts";
import { imageExtensions } from "../folder-scan.ts";
import type { ImageSource, Split } from "../image-source.ts";
import { digestRecords, imageList, type ListedSplit, listedSource } from "../listed-source.ts";
import { bySplit, valAsTest } from "../split-name.ts";
import { numberedClasses } from "./class-numbers.ts";
import { tarEntries } from "./tar.ts";

/** Files beside the shards that name the classes, one per line. */
const nameFiles = ["classnames.txt", "classes.txt"];
const mostClasses = 1_000_000;

/**
 * WebDataset shards: tar archives of `key.jpg` (or .png, .webp, …; `key.input.jpg` too) and `key.cls`, a class number.
 * What is passed over is counted in the notes. One pass over the
 * shards' headers makes an index; images are then read by range, nothing is unpacked. A shard's split is the one its
 * name or folder says; class names are the lines of classnames.txt where it is there, else numbers. The fingerprint
 * covers keys, labels and where the bytes are.
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
  for (const [split, paths] of shards) {
    const passedOver = new PassedOver();
    found.set(split, await indexOf(root, paths, passedOver));
    notes.push(...passedOver.notes(split));
  }
  const empty = [...found].find(([, { keys }]) => keys.length === 0);
  if (empty !== undefined) {
    throw new DataError(
      `${name}: its ${empty[0]} shards hold no picture that can be read (${imageExtensions.join(", ")}) with a class number ` +
        `beside it (.cls). ${notes.join(" ")}`.trim(),
    );
  }
  const nameFile = nameFiles.find((file) => existsSync(join(root, file)));
  const names =
    nameFile === undefined ? undefined : (await readLines(root, nameFile)).map(({ text }) => text);
  const indices = [...found.values()];
  const images = indices.reduce((sum, { labels }) => sum + labels.length, 0);
  const most = indices.reduce((top, { labels }) => labels.reduce((a, b) => Math.max(a, b), top), -1);
  if (names !== undefined && most >= names.length) {
    throw new DataError(
      `${name}: an image has the class ${most}, but ${nameFile} names ${names.length} classes (0 to ${names.length - 1}).`,
    );
  }
  valAsTest(found, notes);
  return listedSource({
    name,
    format: "webdataset, keys and ranges",
    classes: names ?? numberedClasses(name, most, images),
    notes: notes.map((note) => `${name}: ${note}`),
    splits: new Map([...found].map(([split, index]) => [split, splitOf(root, index)])),
  });
}

/** Where the images of a split are; parallel arrays. */
interface Index {
  readonly paths: readonly string[];
  readonly sizes: number[];
  readonly keys: string[];
  readonly shards: number[];
  readonly starts: number[];
  readonly lengths: number[];
  readonly labels: number[];
}

/** A sample that is being read: its files follow each other, and share all up to the first dot of their name. */
interface Sample {
  readonly key: string;
  readonly images: Map<string, { start: number; length: number }>;
  readonly labels: Map<string, number>;
}

/** What of a split's shards was not read, for a word to the person. */
class PassedOver {
  readonly #counts = new Map<string, { count: number; first: string }>();

  add(what: string, first: string): void {
    const known = this.#counts.get(what);
    if (known) known.count++;
    else this.#counts.set(what, { count: 1, first });
  }

  notes(split: Split): string[] {
    return [...this.#counts].map(
      ([what, { count, first }]) => `In the ${split} shards ${count} ${what}, such as ${shown(first)}.`,
    );
  }
}

async function indexOf(root: string, paths: readonly string[], passedOver: PassedOver): Promise<Index> {
  const index: Index = { paths, sizes: [], keys: [], shards: [], starts: [], lengths: [], labels: [] };
  for (const [shard, path] of paths.entries()) {
    const full = join(root, path);
    index.sizes.push((await stat(full)).size);
    let sample: Sample | undefined;
    const finish = () => {
      if (sample !== undefined) addSample(index, shard, sample, full, passedOver);
    };
    const link = (name: string) => passedOver.add("links and devices were passed over", name);
    for await (const entry of tarEntries(full, link)) {
      const where = `${full}, ${shown(entry.path)}`;
      const safe = safePath(entry.path, where);
      const parts = nameParts(safe);
      if (parts === undefined) {
        passedOver.add("entries that are no sample's (hidden, or without a dot) were passed over", safe);
        continue;
      }
      const { key, field } = parts;
      if (sample === undefined || sample.key !== key) {
        finish();
        sample = { key, images: new Map(), labels: new Map() };
      }
      if (sample.images.has(field) || sample.labels.has(field)) {
        throw new DataError(`${where}: its sample has this file twice. Pack the shard again.`);
      }
      // As webdataset's decoders have it, the last part of a name says what a file is.
      const kind = field.slice(field.lastIndexOf(".") + 1);
      if (kind === "cls") {
        if (entry.length > 64) throw new DataError(`${where}: a class number has at most 64 bytes.`);
        const text = new TextDecoder().decode(await entry.read());
        sample.labels.set(field, wholeNumber(text, 0, mostClasses, "class", where));
      } else if (imageExtensions.includes(`.${kind}`)) {
        sample.images.set(field, { start: entry.start, length: entry.length });
      } else passedOver.add(`files .${shown(field)} were passed over`, safe);
    }
    finish();
  }
  return index;
}

/** Adds a sample with one picture and one class number; one without a picture is passed over. */
function addSample(index: Index, shard: number, sample: Sample, where: string, passedOver: PassedOver): void {
  const { key, images, labels } = sample;
  const [first] = images;
  if (first === undefined) {
    passedOver.add("samples without a picture that can be read were passed over", key);
    return;
  }
  // A picture with nothing but its format in its name is the sample's own.
  const plain = [...images].filter(([field]) => !field.includes("."));
  const [field, image] = plain.length === 1 ? plain[0] : first;
  if (images.size > 1) {
    if (plain.length !== 1) {
      throw new DataError(
        `${where}: the sample "${shown(key)}" has the pictures ${shown([...images.keys()].join(", "))}; one is needed. A ` +
          "sample's files share all up to the first dot of their name: pack the others under other keys, without dots.",
      );
    }
    passedOver.add(`samples have more pictures than .${field}, which were passed over`, key);
  }
  const own = labels.get("cls");
  const [label, ...others] = own === undefined ? labels.values() : [own];
  if (label === undefined || others.length > 0) {
    throw new DataError(
      label === undefined
        ? `${where}: the image "${key}" has no ${shown(key)}.cls beside it. Pack class numbers with it.`
        : `${where}: the sample "${shown(key)}" has the class numbers ${shown([...labels.keys()].join(", "))}; one is needed, ` +
            `as ${shown(key)}.cls.`,
    );
  }
  index.keys.push(key);
  index.shards.push(shard);
  index.starts.push(image.start);
  index.lengths.push(image.length);
  index.labels.push(label);
}

/**
 * A sample's key and the field that a file is of it, split as webdataset does (`base_plus_ext`): at the first dot of the
 * file's name. undefined for files that it passes over: those whose name begins with a dot, has none, or is __meta__.
 */
function nameParts(path: string): { key: string; field: string } | undefined {
  const start = path.lastIndexOf("/") + 1;
  const dot = path.indexOf(".", start);
  if (dot <= start || /^__.*__$/.test(path)) return undefined;
  return { key: path.slice(0, dot), field: path.slice(dot + 1).toLowerCase() };
}

function splitOf(root: string, index: Index): ListedSplit {
  const shards = Int32Array.from(index.shards);
  const starts = Float64Array.from(index.starts);
  const lengths = Float64Array.from(index.lengths);
  const { keys, paths, sizes } = index;
  const images = imageList(Int32Array.from(index.labels), undefined, (i, label) => {
    const shard = paths[shards[i]!];
    const range = { path: join(root, shard), start: starts[i], length: lengths[i] };
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
