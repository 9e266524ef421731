import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { join } from "node:path";
import zlib from "node:zlib";
import {
  type AsyncBuffer,
  type Compressors,
  type FileMetaData,
  parquetMetadataAsync,
  parquetRead,
  parquetReadObjects,
  parquetSchema,
} from "hyparquet";
import { decompressLz4, decompressLz4Raw, decompressZstd } from "hyparquet-compressors";
import * as z from "zod";
import { DataError, messageOf } from "../../errors.ts";
import { readExactly } from "../../files/read-exactly.ts";
import { requireRegular } from "../../files/regular-file.ts";
import type { Item } from "../../images/types.ts";
import { type ImageSource, listed, type Split } from "../image-source.ts";
import { digestRecords, imageList, type ListedSplit, listedSource } from "../listed-source.ts";
import { bySplit, valAsTest } from "../split-name.ts";
import { numberedClasses } from "./class-numbers.ts";
import { checkedPages, exactly, requireSaneFooter } from "./parquet-limits.ts";
import { unpackSnappy } from "./snappy.ts";

/** What Hugging Face's `datasets` writes about the columns. */
const HubFeatures = z.object({
  info: z.object({
    features: z.record(
      z.string(),
      z.looseObject({ _type: z.string().optional(), names: z.array(z.string()).optional() }),
    ),
  }),
});
const imageNames = ["image", "img", "jpg", "jpeg", "png", "webp", "pixel_values"];
const labelNames = ["label", "labels", "fine_label", "class", "cls", "category", "target"];
const mostClasses = 1_000_000;
/** Row groups whose images are held, in the order of their last use. */
const heldGroups = 2;
/** Newer than the oldest Node this runs on: 22.15. */
const { zstdDecompressSync } = zlib as { zstdDecompressSync?: typeof zlib.brotliDecompressSync };
const compressors: Compressors = exactly({
  GZIP: (input, length) => zlib.gunzipSync(input, { maxOutputLength: Math.max(1, length) }),
  BROTLI: (input, length) => zlib.brotliDecompressSync(input, { maxOutputLength: Math.max(1, length) }),
  ZSTD: (input, length) =>
    zstdDecompressSync
      ? zstdDecompressSync(input, { maxOutputLength: Math.max(1, length) })
      : decompressZstd(input, new Uint8Array(length)),
  SNAPPY: unpackSnappy,
  LZ4: decompressLz4,
  LZ4_RAW: decompressLz4Raw,
});
/** Of a file's end: where its footer is. */
const footerBytes = 64 * 1024;

/** A file of a split and its row groups. */
interface ParquetFile {
  readonly path: string;
  readonly file: AsyncBuffer;
  readonly metadata: FileMetaData;
  readonly columns: Columns;
  /** Index in the file of the first row of each row group, and the number of rows at the end. */
  readonly starts: readonly number[];
  readonly stamp: string;
}

interface Columns {
  readonly image: string;
  readonly label: string;
  /** Names of the labels, where the file has them. */
  readonly names: readonly string[] | undefined;
}

/** What a file's class numbers stand for. */
interface ClassNames {
  readonly path: string;
  readonly names: readonly string[];
}

/**
 * Image sets in parquet, as Hugging Face keeps them: a column of images (their files' bytes, bare or as
 * {bytes, path}) and a column of class numbers or names. Opening reads the footers and the label columns; images are
 * read one row group at a time, two of which are held. A file's split is the one that its name or folder says, its class
 * numbers are read by its own class names, and the classes are in the order of the first file that names them.
 *
 * @param files the files' paths under `root`
 * @param check looks at a file before the first of its images is read
 */
export async function openParquet(
  root: string,
  name: string,
  files: readonly string[],
  check?: (path: string) => Promise<void>,
): Promise<ImageSource> {
  const { splits: byName, notes } = bySplit(files);
  const opened = new Map<Split, { files: ParquetFile[]; labels: (string | number)[] }>();
  let columns: Columns | undefined;
  let named: ClassNames | undefined;
  for (const [split, paths] of byName) {
    const content = { files: [] as ParquetFile[], labels: [] as (string | number)[] };
    for (const path of paths) {
      const file = await openFile(root, path);
      columns ??= file.columns;
      content.files.push(file);
      const labels = await labelsOf(root, file);
      const { names } = file.columns;
      if (names !== undefined && labels.some((label) => typeof label === "number" && label !== -1)) {
        named ??= { path, names };
        renumber(labels, { path: join(root, path), names }, named);
      }
      for (const label of labels) content.labels.push(label);
    }
    // Benchmarks publish test images without their labels.
    if (content.labels.every((label) => label === -1)) {
      notes.push(`The ${split} images have no labels and were passed over.`);
    } else opened.set(split, content);
  }
  if (columns === undefined || opened.size === 0)
    throw new DataError(`${name}: no labeled image in ${root}.`);
  valAsTest(opened, notes);
  const classes = classesOf(
    name,
    [...opened.values()].map(({ labels }) => labels),
    columns.label,
    named?.names,
  );
  const numbers = new Map<string | number, number>(classes.map((label, i) => [label, i]));
  const groups = new RowGroups(root, check);
  const splits = new Map<Split, ListedSplit>();
  for (const [split, content] of opened) {
    const labels = Int32Array.from(content.labels, (label) =>
      typeof label === "number" ? label : numbers.get(label)!,
    );
    splits.set(split, splitOf(content.files, labels, groups));
  }
  return listedSource({
    name,
    format: "parquet, labels and footers",
    classes,
    notes: notes.map((note) => `${name}: ${note}`),
    splits,
  });
}

function splitOf(files: readonly ParquetFile[], labels: Int32Array, groups: RowGroups): ListedSplit {
  const firsts: number[] = [];
  let rows = 0;
  for (const { starts } of files) {
    firsts.push(rows);
    rows += starts.at(-1)!;
  }
  const images = imageList(labels, undefined, (index, label): Item => {
    const place = firsts.findLastIndex((first) => first <= index);
    const file = files[place];
    const row = index - firsts[place];
    const id = `${file.path}/${row}`;
    return { id, label, encoding: { kind: "raster" }, open: () => groups.image(file, row, id) };
  });
  return {
    images,
    async digest(digest) {
      digestRecords(
        digest,
        images,
        files.map(({ stamp }) => stamp),
      );
    },
  };
}

async function openFile(root: string, path: string): Promise<ParquetFile> {
  const full = join(root, path);
  try {
    // Opening a pipe would wait for its writer.
    const size = await requireRegular(full);
    const file = fileBuffer(full, size);
    const metadata = await parquetMetadataAsync(file);
    requireSaneFooter(metadata, size);
    const starts = [0];
    for (const group of metadata.row_groups) starts.push(starts.at(-1)! + Number(group.num_rows));
    const end = await file.slice(Math.max(0, size - footerBytes), size);
    const stamp = `${size} ${createHash("sha256").update(new Uint8Array(end)).digest("hex")}`;
    return {
      path,
      file,
      metadata,
      columns: columnsOf(full, metadata),
      starts,
      stamp,
    };
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    throw new DataError(
      `${full} cannot be read as parquet: ${messageOf(cause)}. It may be truncated: download it again.`,
      { cause },
    );
  }
}

/** A file that is opened for each piece: sources are never closed. */
function fileBuffer(path: string, size: number): AsyncBuffer {
  return {
    byteLength: size,
    async slice(start, end = size) {
      const bytes = new Uint8Array(end - start);
      const file = await open(path);
      try {
        await readExactly(file, bytes, start, (at) => new Error(`it ends at byte ${at}`));
      } finally {
        await file.close();
      }
      return bytes.buffer;
    },
  };
}

/** Which columns hold images and labels: those that are said to, else those that are named so. */
function columnsOf(path: string, metadata: FileMetaData): Columns {
  const written = metadata.key_value_metadata?.find(({ key }) => key === "huggingface")?.value;
  let features: z.infer<typeof HubFeatures>["info"]["features"] = {};
  try {
    features = written === undefined ? {} : HubFeatures.parse(JSON.parse(written)).info.features;
  } catch {
    // Others may write under this key too: the columns' names are left.
  }
  const present = parquetSchema(metadata).children;
  const typed = (type: string) => Object.keys(features).filter((column) => features[column]?._type === type);
  const pick = (typedAs: string[], known: readonly string[], fits: (column: string) => boolean) =>
    [...known.filter((column) => typedAs.includes(column)), ...typedAs, ...known].find(fits);
  const names = present.map(({ element }) => element.name);
  const image = pick(typed("Image"), imageNames, (column) => {
    const found = present.find(({ element }) => element.name === column);
    return (
      found?.element.type === "BYTE_ARRAY" || found?.children.some((c) => c.element.name === "bytes") === true
    );
  });
  const label = pick(typed("ClassLabel"), labelNames, (column) => names.includes(column));
  if (image === undefined || label === undefined) {
    const lacking =
      image === undefined ? `images (${imageNames.join(", ")})` : `labels (${labelNames.join(", ")})`;
    throw new DataError(
      `${path} has the columns ${names.join(", ")}; none of them is one of ${lacking}. Rename the columns.`,
    );
  }
  return { image, label, names: features[label]?.names };
}

/** The file's labels; −1 stands for none. */
async function labelsOf(root: string, { path, file, metadata, columns }: ParquetFile) {
  const labels: (string | number)[] = new Array(Number(metadata.num_rows)).fill(-1);
  try {
    await parquetRead({
      ...checkedPages(file, metadata, compressors),
      metadata,
      columns: [columns.label],
      onChunk({ columnData, rowStart }) {
        for (let i = 0; i < columnData.length; i++) {
          const value: unknown = columnData[i];
          labels[rowStart + i] =
            typeof value === "bigint"
              ? Number(value)
              : typeof value === "boolean"
                ? String(value)
                : ((value as string | number | null | undefined) ?? -1);
        }
      },
    });
  } catch (cause) {
    throw new DataError(
      `${join(root, path)}: its labels cannot be read: ${messageOf(cause)}. Download it again.`,
      { cause },
    );
  }
  return labels;
}

/**
 * Makes a file's class numbers those of `classes`: files may name the same classes in another order.
 * Throws DataError where they name others.
 */
function renumber(labels: (string | number)[], own: ClassNames, classes: ClassNames): void {
  if (JSON.stringify(own.names) === JSON.stringify(classes.names)) return;
  const places = new Map(classes.names.map((name, i) => [name, i]));
  const found = new Set(own.names);
  const unknown = own.names.filter((name) => !places.has(name));
  const missing = classes.names.filter((name) => !found.has(name));
  if (unknown.length > 0 || missing.length > 0) {
    const differences = [
      ...(unknown.length > 0 ? [`${listed(unknown)} only in the former`] : []),
      ...(missing.length > 0 ? [`${listed(missing)} only in the latter`] : []),
    ];
    throw new DataError(
      `${own.path} and ${classes.path} name other classes: ${differences.join(" and ")}. Files that are read together ` +
        "must name the same, in whatever order: write one of them anew, or read each by its own path.",
    );
  }
  for (const [row, label] of labels.entries()) {
    const name = typeof label === "number" ? own.names[label] : undefined;
    if (name !== undefined) labels[row] = places.get(name)!;
  }
}

function classesOf(
  name: string,
  splits: readonly (readonly (string | number)[])[],
  column: string,
  names: readonly string[] | undefined,
): readonly string[] {
  const texts = new Set<string>();
  let most = -1;
  for (const labels of splits) {
    for (const [row, label] of labels.entries()) {
      const bad =
        typeof label === "number" && !(Number.isInteger(label) && label >= 0 && label < mostClasses);
      if (bad || (typeof label !== "number" && typeof label !== "string")) {
        throw new DataError(
          `${name}: the label of image ${row} is ${String(label)}, not a class number or name.`,
        );
      }
      if (typeof label === "string") texts.add(label);
      else most = Math.max(most, label);
    }
  }
  if (texts.size > 0) {
    if (most < 0) return [...texts].sort();
    throw new DataError(`${name}: the column ${column} holds names and numbers; one or the other is needed.`);
  }
  if (names !== undefined && most >= names.length) {
    throw new DataError(`${name}: an image has the label ${most}, but ${names.length} classes are named.`);
  }
  const images = splits.reduce((sum, labels) => sum + labels.length, 0);
  return names ?? numberedClasses(name, most, images);
}

/** Reads images by row groups and holds the few that were used last. */
class RowGroups {
  readonly #root: string;
  readonly #held = new Map<string, Promise<readonly unknown[]>>();

  readonly #check: ((path: string) => Promise<void>) | undefined;

  constructor(root: string, check: ((path: string) => Promise<void>) | undefined) {
    this.#root = root;
    this.#check = check;
  }

  async image(file: ParquetFile, row: number, id: string): Promise<Uint8Array> {
    const group = file.starts.findLastIndex((start, i) => start <= row && i < file.starts.length - 1);
    const key = `${group} ${file.path}`;
    let rows = this.#held.get(key);
    this.#held.delete(key);
    rows ??= this.#read(file, group);
    this.#held.set(key, rows);
    if (this.#held.size > heldGroups) this.#held.delete(this.#held.keys().next().value!);
    let value: unknown;
    try {
      value = (await rows)[row - file.starts[group]];
    } catch (cause) {
      this.#held.delete(key);
      throw new DataError(`${id} in ${this.#root} cannot be read: ${messageOf(cause)}`, { cause });
    }
    const bytes = (value as { bytes?: unknown } | null)?.bytes ?? value;
    if (!(bytes instanceof Uint8Array) || bytes.length === 0) {
      throw new DataError(`${id} in ${this.#root} has no image bytes (a path alone is not followed).`);
    }
    // A copy: the view would keep, and take along to a decoding thread, the whole row group.
    return bytes.slice();
  }

  async #read({ path, file, metadata, columns, starts }: ParquetFile, group: number): Promise<unknown[]> {
    await this.#check?.(join(this.#root, path));
    const rows = await parquetReadObjects({
      ...checkedPages(file, metadata, compressors),
      metadata,
      columns: [columns.image],
      rowStart: starts[group],
      rowEnd: starts[group + 1],
      utf8: false,
    });
    return rows.map((row) => row[columns.image] as unknown);
  }
}
