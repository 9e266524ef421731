import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeFolders } from "../files/disk.ts";
import { sha256OfText } from "../files/hash.ts";
import { writeSafetensors } from "../files/safetensors.ts";
import { classFolderNames } from "./class-folders.ts";
import type { ArtifactContent } from "./content.ts";
import { writeImages } from "./image-files.ts";
import { Manifest, sealManifest } from "./manifest.ts";
import { replaceFolder, requireWritableOut } from "./out-folder.ts";
import { dataSetCard } from "./pages/readme.ts";
import { probeTensors, setTensors, type TensorFile } from "./tensors.ts";

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
function bytesNeeded(content: ArtifactContent): number {
  const { manifest, labels, softLabels, levels, probe, otherProbes = [] } = content;
  const pixels = labels.length * 3 * manifest.imageSize ** 2;
  const parameters = (levels ?? []).reduce((sum, { values }) => sum + values.byteLength, 0);
  const weights = [probe, ...otherProbes].reduce(
    (sum, { weight, novelty }) => sum + weight.data.byteLength + (novelty?.basis.data.byteLength ?? 0),
    0,
  );
  return 5 * pixels + parameters + softLabels.byteLength + weights + 2 ** 20;
}

async function writeFiles(folder: string, content: ArtifactContent): Promise<Manifest> {
  const folders = classFolderNames(content.manifest.classes);
  // Loaded when needed: the chart and sharp together take 40 MB.
  const { reportHtml } = await import("./pages/report.ts");
  await makeFolders(folder);
  const { files, thumbnails, edited } = await writeImages(folder, content, folders);
  const m = content.labels.length;
  const writeTensors = (name: string, { tensors, metadata }: TensorFile) =>
    writeSafetensors(join(folder, name), tensors, metadata);
  files["distilled.safetensors"] = await writeTensors("distilled.safetensors", setTensors(content));
  files["probe.safetensors"] = await writeTensors("probe.safetensors", probeTensors(content.probe));
  for (const [k, { file }] of (content.manifest.others ?? []).entries())
    files[file] = await writeTensors(file, probeTensors(content.otherProbes![k]));

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
  await writeFile(join(folder, "manifest.json"), await sealManifest(checked, sha256OfText), { flush: true });
  return checked;
}
