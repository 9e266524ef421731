import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeFolders } from "../files/disk.ts";
import { type TensorToWrite, writeSafetensors } from "../files/safetensors.ts";
import type { ClosedFormProbe } from "../probe/closed-form.ts";
import { classFolderNames } from "./class-folders.ts";
import type { ArtifactContent, ImageChunk } from "./content.ts";
import { writeImages } from "./image-files.ts";
import { Manifest } from "./manifest.ts";
import { replaceFolder, requireWritableOut } from "./out-folder.ts";
import { dataSetCard } from "./pages/readme.ts";

/** How an artifact is written. */
export interface WriteArtifactOptions {
  /** Replace an artifact that is there. */
  readonly overwrite?: boolean;
  /** What a person does once a full disk has room again: completes "Make room, then …". */
  readonly goOn?: string | undefined;
}

/**
 * Writes an artifact: everything into a temporary folder beside `out`, then renamed, so that a kill leaves
 * either nothing or all of it. An artifact that is replaced is set aside under a name of this program's own for the
 * moment between two renames; a kill right there is undone by the next look at `out`. Never holds more than a chunk
 * of images.
 * @throws DataError when `out` may not be written or the disk is full; nothing of `out` is changed then
 */
export async function writeArtifact(
  out: string,
  content: ArtifactContent,
  { overwrite = false, goOn = "run the same command again" }: WriteArtifactOptions = {},
): Promise<Manifest> {
  await requireWritableOut(out, overwrite);
  return replaceFolder(out, (folder) => writeFiles(folder, content), { needed: bytesNeeded(content), goOn });
}

/** Bytes of an artifact, from above: PNGs are taken as uncompressed. */
function bytesNeeded({ manifest, labels, softLabels, levels, probe }: ArtifactContent): number {
  const pixels = labels.length * 3 * manifest.imageSize ** 2;
  const parameters = (levels ?? []).reduce((sum, { values }) => sum + values.byteLength, 0);
  return 5 * pixels + parameters + softLabels.byteLength + probe.weight.data.byteLength + 2 ** 20;
}

async function writeFiles(folder: string, content: ArtifactContent): Promise<Manifest> {
  const { classes, imageSize: size } = content.manifest;
  const folders = classFolderNames(classes);
  // Loaded when needed: the chart and sharp together take 40 MB.
  const { reportHtml } = await import("./pages/report.ts");
  await makeFolders(folder);
  const { files, thumbnails, edited } = await writeImages(folder, content, folders);
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
