import { basename, dirname, join } from "node:path";
import { DataError, messageOf } from "../errors.ts";
import { sha256OfFiles, sha256OfText } from "../files/hash.ts";
import { textIfThere } from "../files/regular-file.ts";
import { openSafetensors } from "../files/safetensors.ts";
import type { Probe } from "../probe/probe.ts";
import { requireEncoderOf } from "./encoder-of.ts";
import { imageCount, type Manifest, type OtherRecord, parseManifest, requireHashes } from "./manifest.ts";
import { presentFolder } from "./out-folder.ts";
import { encodersOf } from "./recorded-encoders.ts";
import { probeOfTensors } from "./tensors.ts";

/** An artifact read back; its tensors are read when asked for. */
export interface Artifact {
  readonly folder: string;
  readonly manifest: Manifest;
  /** Exact pixels, [m, 3, size, size] in [0, 1]. */
  images(): Promise<Float32Array>;
  /** Class of each image. */
  readonly labels: Int32Array;
  /** Labels that a probe is solved with, m × C. */
  softLabels(): Promise<Float32Array>;
  /**
   * The closed-form probe that was solved and measured when the set was made: that of its encoder, or of a further one
   * that the images were made for.
   * @param encoder "name" or "name@size" as recorded (default: the first)
   * @throws UsageError naming the set's encoders
   */
  probe(encoder?: string): Promise<Probe>;
}

/**
 * Opens an artifact and checks the hash of each of its files.
 * @throws DataError when the folder is none, was written by another version, or a file is missing or was changed
 */
export async function readArtifact(path: string): Promise<Artifact> {
  const folder = await presentFolder(path);
  const text = await textOf(join(folder, "manifest.json"));
  if (text === undefined) {
    throw new DataError(`${path} holds no manifest.json. Expected a folder that \`clp-dd distill\` wrote.`);
  }
  const manifest = await parseManifest(text, join(folder, "manifest.json"), sha256OfText);
  requireHashes(manifest, join(folder, "manifest.json"));
  for (const [name, expected] of Object.entries(manifest.files))
    await requireUnchanged(join(folder, name), expected);
  const m = imageCount(manifest);
  await requireImages(join(folder, "distilled.safetensors"), m);
  const tensor = async (name: string): Promise<Float32Array> => {
    const file = await openSafetensors(join(folder, "distilled.safetensors"));
    try {
      return await file.float32(name);
    } finally {
      await file.close();
    }
  };
  return {
    folder,
    manifest,
    images: () => tensor("images"),
    labels: Int32Array.from({ length: m }, (_, i) => Math.floor(i / manifest.config.ipc)),
    softLabels: () => tensor("labels"),
    probe: async (encoder) => {
      const made = encoder === undefined ? encodersOf(manifest)[0] : requireEncoderOf(manifest, encoder);
      return readProbe(join(folder, made.file), manifest, made);
    },
  };
}

/** Throws DataError unless a file holds as many images as the manifest counts, before room is made for their labels. */
async function requireImages(path: string, count: number): Promise<void> {
  const file = await openSafetensors(path);
  try {
    const held = file.tensors.get("images")?.shape[0] ?? 0;
    if (held === count) return;
    throw new DataError(
      `${path} holds ${held} images, and the manifest beside it counts ${count}. Copy the artifact again.`,
    );
  } finally {
    await file.close();
  }
}

async function readProbe(
  path: string,
  { classes, files }: Manifest,
  { encoder, probe }: OtherRecord,
): Promise<Probe> {
  if (!Object.hasOwn(files, basename(path))) {
    throw new DataError(
      `${dirname(path)} records no probe. Make the set again with \`clp-dd distill\` or \`clp-dd baseline\`, which record the ` +
        "probe that they measure.",
    );
  }
  const file = await openSafetensors(path);
  try {
    return await probeOfTensors(file, { classes, encoder, probe }, path);
  } finally {
    await file.close();
  }
}

async function requireUnchanged(path: string, expected: string): Promise<void> {
  let hash: string;
  try {
    hash = await sha256OfFiles(path);
  } catch (cause) {
    throw new DataError(
      `${path} is missing from the artifact. Copy it again, or run the distillation again.`,
      { cause },
    );
  }
  if (hash === expected) return;
  throw new DataError(
    `${path} was changed or damaged since it was written (its hash differs). Copy the artifact again.`,
  );
}

/** The text of a file, or undefined when it is not there. */
async function textOf(path: string): Promise<string | undefined> {
  return textIfThere(path).catch((cause) => {
    throw new DataError(
      `${path} cannot be read: ${messageOf(cause)}. Copy the artifact again, or make it again.`,
      {
        cause,
      },
    );
  });
}
