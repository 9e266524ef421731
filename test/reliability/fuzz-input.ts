import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ClpError, messageOf } from "../../src/errors.ts";
import { seededRandom } from "../../src/random.ts";
import { targets } from "./targets.ts";

export interface Outcome {
  readonly kind: "refused" | "accepted" | "failed";
  readonly why?: string;
}

/** Inputs are written and read hundreds of times a second: in memory where there is a disk of that kind. */
export const memoryDisk = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

/** A worker's is its parent's to remove. */
const given = process.env.CLP_DD_FUZZ;
let folder: Promise<string> | undefined;

/** Where inputs and what they are read with are written. */
export function inputFolder(): Promise<string> {
  folder ??= given === undefined ? mkdtemp(join(memoryDisk, "clp-dd-fuzz-")) : Promise.resolve(given);
  return folder;
}

export async function removeInputFolder(): Promise<void> {
  if (folder !== undefined) await rm(await folder, { recursive: true, force: true });
}

const corpora = new Map<string, Promise<Uint8Array[]>>();

/** The good inputs of a target. */
export async function corpusOf(target: string): Promise<Uint8Array[]> {
  const known = corpora.get(target) ?? inputFolder().then(targets[target]!.corpus);
  corpora.set(target, known);
  return known;
}

interface Input {
  readonly bytes: Uint8Array;
  /** The good input that it was made of. */
  readonly base: Uint8Array;
}

/** The input of a number: the same for the same seed. */
export async function inputOf(target: string, seed: number, number: number): Promise<Input> {
  const corpus = await corpusOf(target);
  const random = seededRandom(seed, `${target} ${number}`);
  const base = corpus[random.below(corpus.length)]!;
  return { base, bytes: targets[target]!.mutate(base, random) };
}

/** What reading a good input gives, where that is compared. */
const wholes = new WeakMap<Uint8Array, unknown>();

/** Reads one input. */
export async function tried(target: string, { bytes, base }: Input): Promise<Outcome> {
  const { read, hashed } = targets[target]!;
  const own = await inputFolder();
  try {
    if (hashed && !wholes.has(base)) wholes.set(base, await read(base, own));
    const found = await read(bytes, own);
    if (hashed && found !== wholes.get(base))
      return { kind: "failed", why: "accepted, and other than what was saved" };
    return { kind: "accepted" };
  } catch (error) {
    if (error instanceof ClpError) return { kind: "refused" };
    const [place = ""] = (error instanceof Error ? (error.stack ?? "") : "").match(/\n\s+at [^\n]+/) ?? [];
    return { kind: "failed", why: `${messageOf(error).slice(0, 200)}${place}` };
  }
}
