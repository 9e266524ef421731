/** Reads inputs for fuzz.ts, in a process that can be killed. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ClpError, messageOf } from "../../src/errors.ts";
import { seededRandom } from "../../src/random.ts";
import { targets } from "./targets.ts";

export interface ToFuzzWorker {
  readonly target: string;
  readonly seed: number;
  /** Inputs of these numbers are made and read; or the one that is given. */
  readonly from: number;
  readonly count: number;
  readonly input?: Uint8Array;
}

export type FromFuzzWorker =
  | { readonly kind: "begin"; readonly number: number }
  | { readonly kind: "tried"; readonly number: number; readonly outcome: Outcome }
  | { readonly kind: "done" };

export interface Outcome {
  readonly kind: "refused" | "accepted" | "failed";
  readonly why?: string;
}

/** Where inputs and what they are read with are written. */
export const inputFolder = (): Promise<string> => folder;

const corpora = new Map<string, Promise<Uint8Array[]>>();
const folder = mkdtemp(join(tmpdir(), "clp-dd-fuzz-"));

/** The input of a number: the same for the same seed. */
export async function inputOf(target: string, seed: number, number: number): Promise<Uint8Array> {
  const { base, random } = await baseOf(target, seed, number);
  return targets[target]!.mutate(base, random);
}

async function baseOf(target: string, seed: number, number: number) {
  if (!corpora.has(target)) corpora.set(target, targets[target]!.corpus(await folder));
  const corpus = await corpora.get(target)!;
  const random = seededRandom(seed, `${target} ${number}`);
  return { base: corpus[random.below(corpus.length)]!, random };
}

/** Reads one input. */
export async function tried(target: string, input: Uint8Array, base?: Uint8Array): Promise<Outcome> {
  const { read, hashed } = targets[target]!;
  const own = await folder;
  try {
    const found = await read(input, own);
    if (hashed && base !== undefined && found !== (await read(base, own)))
      return { kind: "failed", why: "accepted, and other than what was saved" };
    return { kind: "accepted" };
  } catch (error) {
    if (error instanceof ClpError) return { kind: "refused" };
    const [place = ""] = (error instanceof Error ? (error.stack ?? "") : "").match(/\n\s+at [^\n]+/) ?? [];
    return { kind: "failed", why: `${messageOf(error).slice(0, 200)}${place}` };
  }
}

export async function end(): Promise<void> {
  await rm(await folder, { recursive: true, force: true });
}

if (process.send !== undefined && process.env.CLP_DD_FUZZ === "1") {
  process.on("message", async (message) => {
    const { target, seed, from, count, input } = message as ToFuzzWorker;
    for (let number = from; number < from + count; number++) {
      const { base, random } = await baseOf(target, seed, number);
      const changed = input ?? targets[target]!.mutate(base, random);
      process.send!({ kind: "begin", number } satisfies FromFuzzWorker);
      const outcome = await tried(target, changed, base);
      process.send!({ kind: "tried", number, outcome } satisfies FromFuzzWorker);
    }
    process.send!({ kind: "done" } satisfies FromFuzzWorker);
  });
  process.on("disconnect", async () => {
    await end();
    process.exit(0);
  });
}
