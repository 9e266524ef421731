/**
 * Reads inputs for fuzz.ts, in a process that can be killed. What it is at is in a file, which is there whatever becomes of
 * the process: a message for each input would take longer than most of them.
 */
import { appendFileSync, openSync, writeSync } from "node:fs";
import { corpusOf, inputOf, tried } from "./fuzz-input.ts";

/** Inputs of these numbers are made and read; or the one that is given. */
export interface Batch {
  readonly target: string;
  readonly seed: number;
  readonly from: number;
  readonly count: number;
  readonly input?: Uint8Array;
}

/** What a worker is at: the number of an input (−1: none), and how many of the batch were refused and accepted. */
export type Progress = readonly [number: number, refused: number, accepted: number];

/** A line of the file of failures. */
export interface Failure {
  readonly number: number;
  readonly why: string;
}

/** Exit code of a worker that holds more than it may. */
export const tooLarge = 77;

const [, , progressPath = "", failuresPath = "", mostBytes = "0"] = process.argv;

async function read({ target, seed, from, count, input }: Batch, progressFile: number): Promise<void> {
  const state = new Float64Array([-1, 0, 0]);
  const bytes = new Uint8Array(state.buffer);
  const write = () => writeSync(progressFile, bytes, 0, bytes.length, 0);
  write();
  await corpusOf(target);
  for (let number = from; number < from + count; number++) {
    const made = await inputOf(target, seed, number);
    state[0] = number;
    write();
    const { kind, why = "" } = await tried(target, input === undefined ? made : { ...made, bytes: input });
    // Before it counts: whether this input took the memory is for a fresh process to find out.
    if (1024 * process.resourceUsage().maxRSS > Number(mostBytes)) process.exit(tooLarge);
    if (kind === "failed")
      appendFileSync(failuresPath, `${JSON.stringify({ number, why } satisfies Failure)}\n`);
    else state[kind === "refused" ? 1 : 2]!++;
    write();
  }
  state[0] = -1;
  write();
}

if (process.send !== undefined && process.env.CLP_DD_FUZZ !== undefined) {
  const progressFile = openSync(progressPath, "r+");
  process.on("message", async (message) => {
    await read(message as Batch, progressFile);
    process.send!("done");
  });
  process.on("disconnect", () => process.exit(0));
}
