/**
 * Changes inputs of every parser and reads them: npm run fuzz [TARGET…] [--minutes N] [--seed S] [--count N]
 * [--processes N] [--page]. An input is refused by an error of this project, or accepted; anything else is a failure:
 * another error, more than 5 seconds, more than 1 GiB, the end of the process, and a damaged file with a hash that gives
 * other numbers. Targets take turns, so that a campaign that is stopped has read inputs of all.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { writeFigures } from "./figures.ts";
import { inputOf, removeInputFolder } from "./fuzz-input.ts";
import { targets } from "./targets.ts";
import { WatchedWorker } from "./watched-worker.ts";

/** Seconds of a turn, roughly. */
const turnSeconds = 2;
const failuresFolder = join(process.cwd(), ".fuzz");

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: "string", default: "10" },
    seed: { type: "string", default: "1" },
    count: { type: "string" },
    processes: { type: "string", default: "2" },
    page: { type: "boolean", default: false },
  },
});
const names = positionals.length > 0 ? positionals : Object.keys(targets);
const unknown = names.find((name) => !Object.hasOwn(targets, name));
if (unknown !== undefined) {
  console.error(`There is no target "${unknown}". Expected some of ${Object.keys(targets).join(", ")}.`);
  process.exit(2);
}
const seed = Number(values.seed);
const most = values.count === undefined ? Number.POSITIVE_INFINITY : Number(values.count);

interface Failure {
  readonly number: number;
  readonly why: string;
}

/** What was read of a target. */
interface Tally {
  readonly name: string;
  readonly weight: number;
  /** The first input that nobody has taken. */
  next: number;
  seconds: number;
  tried: number;
  refused: number;
  accepted: number;
  readonly failures: Failure[];
}

const tallies: Tally[] = names.map((name) => ({
  name,
  weight: targets[name]!.weight ?? 1,
  ...{ next: 0, seconds: 0, tried: 0, refused: 0, accepted: 0, failures: [] },
}));

const began = performance.now();
const deadline = began + Number(values.minutes) * 60_000;
let stopped = false;
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => (stopped = true));

/** The target that had the least of its share, with as many inputs as a turn takes. */
function nextTurn(): { tally: Tally; from: number; count: number } | undefined {
  if (stopped || performance.now() > deadline) return undefined;
  const open = tallies.filter(({ next }) => next < most);
  if (open.length === 0) return undefined;
  const tally = open.reduce((a, b) => (b.seconds / b.weight < a.seconds / a.weight ? b : a));
  const rate = tally.seconds > 0 ? tally.tried / tally.seconds : 10;
  const count = Math.min(most - tally.next, Math.max(10, Math.min(20_000, Math.round(rate * turnSeconds))));
  const from = tally.next;
  tally.next += count;
  // Taken for as long as it will be, so that others do not all take this one.
  tally.seconds += turnSeconds;
  return { tally, from, count };
}

/** Reads a turn's inputs; those with which the process ended are tried once more by themselves. */
async function takeTurn(worker: WatchedWorker, tally: Tally, from: number, count: number): Promise<void> {
  const start = performance.now();
  const target = tally.name;
  const add = (found: { refused: number; accepted: number; failures: readonly Failure[] }) => {
    tally.refused += found.refused;
    tally.accepted += found.accepted;
    tally.tried += found.refused + found.accepted + found.failures.length;
    for (const failure of found.failures) fail(tally, failure);
  };
  for (let next = from; next < from + count; ) {
    const found = await worker.read({ target, seed, from: next, count: from + count - next });
    add(found);
    next = found.next;
    if (found.ended === undefined) continue;
    const { number, why, kind } = found.ended;
    const alone = await worker.read({ target, seed, from: number, count: 1 });
    if (alone.ended !== undefined)
      add({ refused: 0, accepted: 0, failures: [{ number, why: alone.ended.why }] });
    // What others left in the process is not this input's; but nothing may end it.
    else if (kind === "crash")
      add({ refused: 0, accepted: 0, failures: [{ number, why: `${why}, after others` }] });
    else add(alone);
  }
  tally.seconds += (performance.now() - start) / 1000 - turnSeconds;
}

function fail(tally: Tally, failure: Failure): void {
  tally.failures.push(failure);
  console.log(`  ${tally.name} ${failure.number}: ${failure.why.split("\n")[0]}`);
}

async function takeTurns(): Promise<void> {
  const worker = await WatchedWorker.open();
  try {
    for (let turn = nextTurn(); turn !== undefined; turn = nextTurn())
      await takeTurn(worker, turn.tally, turn.from, turn.count);
  } finally {
    await worker.close();
  }
}

/** Failures at the same place are one. */
const placeOf = ({ why }: Failure): string => (why.split("\n")[1] ?? why).replace(/\d+\.\d+ GiB/, "");

/** The failing input with as much of it left out as still fails in the same way. */
async function minimized(worker: WatchedWorker, target: string, failure: Failure): Promise<Uint8Array> {
  let { bytes: input } = await inputOf(target, seed, failure.number);
  const until = performance.now() + 30_000;
  for (let size = input.length >> 1; size >= 1 && performance.now() < until; size >>= 1) {
    for (let at = 0; at + size <= input.length && performance.now() < until; ) {
      const smaller = Uint8Array.from([...input.subarray(0, at), ...input.subarray(at + size)]);
      const batch = { target, seed, from: failure.number, count: 1, input: smaller };
      const { failures, ended } = await worker.read(batch);
      const [found = ended] = failures;
      if (found !== undefined && placeOf(found) === placeOf(failure)) input = smaller;
      else at += size;
    }
  }
  return input;
}

const status = setInterval(() => {
  const tried = tallies.reduce((sum, tally) => sum + tally.tried, 0);
  const failed = tallies.reduce((sum, { failures }) => sum + failures.length, 0);
  console.error(`${Math.round((performance.now() - began) / 1000)} s: ${tried} tried, ${failed} failed`);
}, 60_000);
const processes = Number(values.processes);
await Promise.all(Array.from({ length: processes }, takeTurns));
clearInterval(status);
const minutes = (performance.now() - began) / 60_000;

const worker = await WatchedWorker.open();
for (const { name, failures } of tallies) {
  const kinds = new Map(failures.map((failure) => [placeOf(failure), failure]));
  for (const failure of kinds.values()) {
    const path = join(failuresFolder, `${name}-${seed}-${failure.number}`);
    await mkdir(failuresFolder, { recursive: true });
    await writeFile(path, (await inputOf(name, seed, failure.number)).bytes);
    await writeFile(`${path}.small`, await minimized(worker, name, failure));
    console.log(`  ${path}: ${failure.why}`);
  }
}
await worker.close();

const said: string[] = [];
const say = (line: string) => {
  said.push(line);
  console.log(line);
};
for (const { name, tried, refused, accepted, failures } of tallies)
  say(`${name}: ${tried} tried, ${refused} refused, ${accepted} accepted, ${failures.length} failed`);
const sum = (of: (tally: Tally) => number) => tallies.reduce((total, tally) => total + of(tally), 0);
const failed = sum(({ failures }) => failures.length);
say(
  `all: ${sum((t) => t.tried)} tried, ${sum((t) => t.refused)} refused, ${sum((t) => t.accepted)} accepted, ${failed} failed ` +
    `(seed ${seed}, ${processes} ${processes === 1 ? "process" : "processes"}, ${minutes.toFixed(1)} minutes)`,
);
for (const { name, tried, seconds } of tallies)
  console.error(`${name}: ${(tried / Math.max(seconds, 1e-9)).toFixed(0)} per second`);
if (values.page) await writeFigures("fuzz", said);
await removeInputFolder();
process.exitCode = failed === 0 ? 0 : 1;
