import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir, readFile, realpath, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { DataError, messageOf, UsageError } from "../errors.ts";
import { makeFolders } from "../files/disk.ts";
import { processRuns } from "../files/lock.ts";
import { type TensorToWrite, writeSafetensors } from "../files/safetensors.ts";
import { formatBytes } from "../format.ts";
import { edits } from "../images/edits.ts";
import type { ClosedFormProbe } from "../probe/closed-form.ts";
import type { Level } from "../synthetic/parameters.ts";
import { classFolders } from "./class-folders.ts";
import { type CurvePoint, Manifest } from "./manifest.ts";
import { dataSetCard } from "./pages/readme.ts";
import type { EditedThumbnail } from "./pages/report.ts";

/** A stretch of the synthetic images, [count, 3, size, size] in [0, 1]. */
export interface ImageChunk {
  readonly start: number;
  readonly count: number;
  readonly images: Float32Array;
}

/** What a run leaves. Images come chunk by chunk, as often as they are asked for. */
export interface ArtifactContent {
  readonly manifest: Omit<Manifest, "folders" | "files">;
  readonly images: () => AsyncIterable<ImageChunk>;
  /** Class of each image, m. */
  readonly labels: Int32Array;
  /** Labels that a probe is solved with, m × C. */
  readonly softLabels: Float32Array;
  /** Absent for real images. */
  readonly levels?: readonly Level[];
  readonly probe: ClosedFormProbe;
  /** Lines of metrics.jsonl. */
  readonly curve: readonly CurvePoint[];
}

/** How an artefact is written. */
export interface WriteOptions {
  /** Replace an artefact that lies there. */
  readonly overwrite?: boolean;
  /** What a person does once a full disk has room again: completes "Make room, then …". */
  readonly goOn?: string | undefined;
}

/** Images embedded in the report, at most, and the side that many of them are shrunk to. */
const reportImages = 200;
const manyImages = 32;
const thumbnailSide = 96;
/** Images that the report shows after each edit, of as many classes. */
const editedImages = 2;

/** Throws DataError when `out` holds something that is no artefact, or one that may not be overwritten. */
export async function requireWritableOut(out: string, overwrite: boolean): Promise<void> {
  await restoreReplaced(out);
  let entries: string[];
  try {
    entries = await readdir(out);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return;
    if (code === "ENOTDIR")
      throw new DataError(`${out} is a file. Choose a folder that does not exist yet for \`out\`.`);
    throw error;
  }
  if (entries.length === 0) return;
  const ours = entries.includes("manifest.json") && entries.includes("distilled.safetensors");
  if (ours && overwrite) return;
  const shown = entries.slice(0, 3).join(", ");
  throw new DataError(
    ours
      ? `${out} already holds a distilled set. Choose another \`out\`, or replace it with \`overwrite: true\`.`
      : `${out} is not empty (${shown}${entries.length > 3 ? ", …" : ""}) and is no distilled set. Choose another \`out\`.`,
  );
}

/**
 * Writes an artefact: everything into a temporary folder beside `out`, then renamed, so that a kill leaves
 * either nothing or all of it. An artefact that is replaced is set aside under a name of this program's own for the
 * moment between two renames; a kill right there is mended by the next look at `out`. Never holds more than a chunk
 * of images.
 * @throws DataError when `out` may not be written or the disk is full; nothing of `out` is changed then
 */
export async function writeArtifact(
  out: string,
  content: ArtifactContent,
  { overwrite = false, goOn = "run the same command again" }: WriteOptions = {},
): Promise<Manifest> {
  await requireWritableOut(out, overwrite);
  const temporary = `${out}.partial-${process.pid}`;
  try {
    await removeAbandoned(out);
    const manifest = await writeFiles(temporary, content);
    const replaced = replacedOf(out);
    // There only where a kill kept it from being removed: `out` has what replaced it.
    await rm(replaced, { recursive: true, force: true });
    if (existsSync(out)) await rename(out, replaced);
    await rename(temporary, out);
    await rm(replaced, { recursive: true, force: true });
    return manifest;
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw explained(error, out, bytesNeeded(content), goOn);
  }
}

/** Where an artefact lies while it is replaced: a name that no person gives a folder of their own. */
const replacedOf = (out: string): string => `${resolve(out)}.replaced-by-clp-dd`;

/** Mends what a kill between the two renames of a replacement left. */
async function restoreReplaced(out: string): Promise<void> {
  const present = await presentFolder(out);
  if (present !== out) await rename(present, out);
}

/** Where the artefact `out` lies: in `out`, or set aside where a replacement was cut short between its renames. */
export async function presentFolder(out: string): Promise<string> {
  const replaced = replacedOf(out);
  return !existsSync(out) && existsSync(join(replaced, "manifest.json")) ? replaced : out;
}

/** Removes what killed processes left half written. */
async function removeAbandoned(out: string): Promise<void> {
  const folder = dirname(resolve(out));
  const prefix = `${basename(resolve(out))}.partial-`;
  const names = await readdir(folder).catch(() => []);
  for (const name of names.filter((n) => n.startsWith(prefix))) {
    // Only names that a write gives: others are somebody's own.
    if (!/^\d+$/.test(name.slice(prefix.length))) continue;
    const pid = Number(name.slice(prefix.length));
    if (pid !== process.pid && processRuns(pid)) continue;
    await rm(join(folder, name), { recursive: true, force: true });
  }
}

/** Bytes of an artefact, from above: PNGs are taken as uncompressed. */
function bytesNeeded({ manifest, labels, softLabels, levels, probe }: ArtifactContent): number {
  const pixels = labels.length * 3 * manifest.imageSize ** 2;
  const parameters = (levels ?? []).reduce((sum, { values }) => sum + values.byteLength, 0);
  return 5 * pixels + parameters + softLabels.byteLength + probe.weight.data.byteLength + 2 ** 20;
}

/** A system's error in words for the person; others as they are. */
function explained(error: unknown, out: string, needed: number, goOn: string): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (syscall === undefined || code === undefined) return error;
  const message = ["ENOSPC", "EDQUOT"].includes(code)
    ? `The disk is full: ${out} needs up to ${formatBytes(needed)}. Make room, then ${goOn}.`
    : `Writing ${out} failed: ${messageOf(error)}. Mend that, then ${goOn}.`;
  return new DataError(message, { cause: error });
}

async function writeFiles(folder: string, content: ArtifactContent): Promise<Manifest> {
  const { classes, imageSize: size } = content.manifest;
  const folders = classFolders(classes);
  const files: Record<string, string> = {};
  // Not before they are needed: together they take 40 MB.
  const { default: sharp } = await import("sharp");
  const { reportHtml } = await import("./pages/report.ts");
  await makeFolders(folder);

  const dataUriOf = async (images: Float32Array, shrunk: boolean): Promise<string> => {
    const raw = { width: size, height: size, channels: 3 } as const;
    const image = sharp(interleaved(images), { raw });
    const png = await (shrunk ? image.resize(thumbnailSide) : image).png().toBuffer();
    return `data:image/png;base64,${png.toString("base64")}`;
  };
  const edited: EditedThumbnail[] = [];
  const thumbnails: { className: string; dataUri: string }[] = [];
  const numbers = new Int32Array(classes.length);
  const every = Math.ceil(content.labels.length / reportImages);
  const small = content.labels.length > manyImages && size > thumbnailSide;
  const measured = new Set(content.manifest.metrics.edits?.each.map(({ name }) => name));
  for await (const { start, count, images } of content.images()) {
    for (let i = 0; i < count; i++) {
      const label = content.labels[start + i]!;
      const first = label < editedImages && numbers[label] === 0;
      for (const edit of first ? edits.filter(({ name }) => measured.has(name)) : []) {
        const image = images.slice(i * 3 * size * size, (i + 1) * 3 * size * size);
        const dataUri = await dataUriOf(await edit.apply(image, size, start + i), small);
        edited.push({ edit: edit.name, className: classes[label]!, dataUri });
      }
      const inside = `images/${folders[label]}/${numbers[label]!++}.png`;
      const bytes = interleaved(images.subarray(i * 3 * size * size, (i + 1) * 3 * size * size));
      const png = await sharp(bytes, { raw: { width: size, height: size, channels: 3 } })
        .png()
        .toBuffer();
      await makeFolders(join(folder, "images", folders[label]!));
      await writeFile(join(folder, inside), png);
      files[inside] = createHash("sha256").update(png).digest("hex");
      if ((start + i) % every === 0) {
        const shown = small ? await sharp(png).resize(thumbnailSide).png().toBuffer() : png;
        thumbnails.push({
          className: classes[label]!,
          dataUri: `data:image/png;base64,${shown.toString("base64")}`,
        });
      }
    }
  }

  const m = content.labels.length;
  const tensors: TensorToWrite[] = [
    { name: "images", dtype: "F32", shape: [m, 3, size, size], data: () => floatsOf(content.images()) },
    { name: "labels", dtype: "F32", shape: [m, classes.length], data: content.softLabels },
    { name: "classes", dtype: "I32", shape: [m], data: content.labels },
    ...(content.levels ?? []).map(
      ({ side, values }): TensorToWrite => ({
        name: `level/${side}`,
        dtype: "F32",
        shape: [m, 3, side, side],
        data: values,
      }),
    ),
  ];
  files["distilled.safetensors"] = await writeSafetensors(join(folder, "distilled.safetensors"), tensors, {
    format: "clp-dd",
  });
  files["probe.safetensors"] = await writeProbe(join(folder, "probe.safetensors"), content.probe);

  const manifest: Manifest = { ...content.manifest, folders, files };
  const texts = {
    "metrics.jsonl": content.curve.map((point) => `${JSON.stringify(point)}\n`).join(""),
    "report.html": reportHtml(manifest, { thumbnails, edited, total: m, curve: content.curve }),
    "README.md": dataSetCard(manifest),
  };
  for (const [name, text] of Object.entries(texts)) {
    await writeFile(join(folder, name), text, { flush: true });
    files[name] = createHash("sha256").update(text).digest("hex");
  }
  // Last, and checked: what is written here can be read again.
  const checked = Manifest.parse(manifest);
  await writeFile(join(folder, "manifest.json"), `${JSON.stringify(checked, null, 2)}\n`, { flush: true });
  return checked;
}

async function* floatsOf(chunks: AsyncIterable<ImageChunk>): AsyncGenerator<Float32Array> {
  for await (const { images } of chunks) yield images;
}

/** Planar floats in [0, 1] as bytes, the three of a pixel side by side. */
function interleaved(planar: Float32Array): Uint8Array {
  const pixels = planar.length / 3;
  const bytes = new Uint8Array(planar.length);
  for (let p = 0; p < pixels; p++) {
    for (let c = 0; c < 3; c++) {
      bytes[p * 3 + c] = Math.round(255 * Math.min(1, Math.max(0, planar[c * pixels + p]!)));
    }
  }
  return bytes;
}

/** The probe's weight (F64, d × C) and feature map. */
function writeProbe(path: string, { weight, map, lambda }: ClosedFormProbe): Promise<string> {
  const vector = (name: string, data: Float64Array): TensorToWrite => ({
    name,
    dtype: "F64",
    shape: [data.length],
    data,
  });
  return writeSafetensors(
    path,
    [
      { name: "weight", dtype: "F64", shape: [weight.rows, weight.cols], data: weight.data },
      ...(map.mean ? [vector("mean", map.mean)] : []),
      ...(map.std ? [vector("std", map.std)] : []),
    ],
    { format: "clp-dd probe", normalization: map.normalization, lambda: String(lambda) },
  );
}

/** Throws UsageError for an `out` that would be inside the data set, be it by way of a link. */
export async function requireOutside(out: string, data: string): Promise<void> {
  if (!`${await realPath(out)}/`.startsWith(`${await realPath(data)}/`)) return;
  throw new UsageError(`\`out: '${out}'\` is inside the data set ${data}. Choose a folder elsewhere.`);
}

/** An absolute path without links; of what is not there yet, that of the nearest folder that is, and the rest. */
async function realPath(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch {
    const parent = dirname(path);
    return parent === path ? path : join(await realPath(parent), basename(path));
  }
}

/** The text of a file, or undefined when it is not there. */
export async function textOf(path: string): Promise<string | undefined> {
  return readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
    throw error;
  });
}
