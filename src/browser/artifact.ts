import { classFolderNames } from "../artifact/class-folders.ts";
import type { ArtifactContent } from "../artifact/content.ts";
import { imageCount, Manifest, parseManifest } from "../artifact/manifest.ts";
import { dataSetCard } from "../artifact/pages/readme.ts";
import { probeOfTensors, probeTensors, setTensors, type TensorFile } from "../artifact/tensors.ts";
import { DataError } from "../errors.ts";
import { readSafetensors, safetensorsBytes, type TensorInMemory } from "../files/safetensors-bytes.ts";
import type { Probe } from "../probe/probe.ts";
import { pngOf } from "./png.ts";
import { sha256 } from "./sha256.ts";

/** Files of an artifact by their paths in its folder. */
export type ArtifactFiles = Readonly<Record<string, Uint8Array>>;

/**
 * The files of a set, which `clp-dd evaluate`, `classify` and `readArtifact` read; without the report, which the command
 * line writes.
 */
export async function artifactFiles(content: ArtifactContent): Promise<ArtifactFiles> {
  const { classes, imageSize: size } = content.manifest;
  const folders = classFolderNames(classes);
  const files: Record<string, Uint8Array> = {};
  const numbers = new Int32Array(classes.length);
  for await (const { start, count, images } of content.images()) {
    for (let i = 0; i < count; i++) {
      const label = content.labels[start + i]!;
      const planar = images.subarray(i * 3 * size * size, (i + 1) * 3 * size * size);
      files[`images/${folders[label]}/${numbers[label]!++}.png`] = pngOf(
        interleavedBytes(planar),
        size,
        size,
      );
    }
  }
  files["distilled.safetensors"] = await bytesOf(setTensors(content));
  files["probe.safetensors"] = await bytesOf(probeTensors(content.probe));
  const hashes = async () =>
    Object.fromEntries(
      await Promise.all(
        Object.entries(files).map(async ([name, bytes]) => [name, await sha256(bytes)] as const),
      ),
    );
  const manifest: Manifest = { ...content.manifest, folders, files: await hashes() };
  const encoder = new TextEncoder();
  files["metrics.jsonl"] = encoder.encode(
    content.curve.map((point) => `${JSON.stringify(point)}\n`).join(""),
  );
  files["README.md"] = encoder.encode(dataSetCard(manifest));
  // Checked: what is written here can be read again.
  const checked = Manifest.parse({ ...manifest, files: await hashes() });
  files["manifest.json"] = encoder.encode(`${JSON.stringify(checked, null, 2)}\n`);
  return files;
}

/** Planar floats in [0, 1] as bytes, the three of a pixel side by side. */
export function interleavedBytes(planar: Float32Array): Uint8Array<ArrayBuffer> {
  const pixels = planar.length / 3;
  const bytes = new Uint8Array(planar.length);
  for (let p = 0; p < pixels; p++) {
    for (let c = 0; c < 3; c++) {
      bytes[p * 3 + c] = Math.round(255 * Math.min(1, Math.max(0, planar[c * pixels + p]!)));
    }
  }
  return bytes;
}

async function bytesOf({ tensors, metadata }: TensorFile): Promise<Uint8Array> {
  const whole: TensorInMemory[] = [];
  for (const { data, ...tensor } of tensors) {
    if (ArrayBuffer.isView(data)) {
      whole.push({ ...tensor, data });
      continue;
    }
    const pieces: ArrayBufferView[] = [];
    for await (const piece of typeof data === "function" ? data() : data) pieces.push(piece);
    const joined = new Uint8Array(pieces.reduce((sum, { byteLength }) => sum + byteLength, 0));
    let at = 0;
    for (const { buffer, byteOffset, byteLength } of pieces) {
      joined.set(new Uint8Array(buffer, byteOffset, byteLength), at);
      at += byteLength;
    }
    whole.push({ ...tensor, data: joined });
  }
  return safetensorsBytes(whole, metadata);
}

/** A set that was read from files in memory. */
export interface ArtifactInMemory {
  readonly manifest: Manifest;
  readonly probe: Probe;
  /** Exact pixels, [m, 3, size, size] in [0, 1]. */
  readonly images: Float32Array;
  /** Class of each image. */
  readonly labels: Int32Array;
}

/**
 * Reads an artifact's files, and checks the hash of each. They may be in a folder, as zips of folders have them.
 * @throws DataError when they are no artifact, or one was changed
 */
export async function readArtifactFiles(files: ArtifactFiles, where: string): Promise<ArtifactInMemory> {
  const place = Object.keys(files)
    .filter((name) => /(^|\/)manifest\.json$/.test(name))
    .sort((a, b) => a.length - b.length)[0];
  if (place === undefined) {
    throw new DataError(
      `${where} holds no manifest.json. Expected a set that clp-dd wrote, as a folder or a zip.`,
    );
  }
  const root = place.slice(0, -"manifest.json".length);
  const manifest = parseManifest(new TextDecoder().decode(files[place]), `${where}: manifest.json`);
  for (const [name, hash] of Object.entries(manifest.files)) {
    const bytes = files[root + name];
    if (bytes === undefined) throw new DataError(`${name} is missing from ${where}. Copy it again.`);
    if ((await sha256(bytes)) !== hash) {
      throw new DataError(`${name} of ${where} was changed or damaged since it was written. Copy it again.`);
    }
  }
  const tensorsOf = (name: string) => {
    const bytes = files[root + name];
    if (bytes === undefined || manifest.files[name] === undefined) {
      throw new DataError(`${name} is missing from ${where}. Copy it again.`);
    }
    return readSafetensors(`${where}: ${name}`, bytes);
  };
  const m = imageCount(manifest);
  return {
    manifest,
    probe: await probeOfTensors(tensorsOf("probe.safetensors"), manifest, `${where}: probe.safetensors`),
    images: m === 0 ? new Float32Array(0) : await tensorsOf("distilled.safetensors").float32("images"),
    labels: Int32Array.from({ length: m }, (_, i) => Math.floor(i / manifest.config.ipc)),
  };
}
