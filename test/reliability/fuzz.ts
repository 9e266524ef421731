/**
 * Changes inputs of every parser and reads them: npm run fuzz [TARGET…] [--minutes N] [--seed S] [--count N] [--page].
 * An input is refused by an error of this project, or accepted; anything else is a failure: another error, more than
 * 5 seconds, more than 1 GiB, the end of the process, and a damaged file with a hash that gives other numbers.
 */
import { type ChildProcess, fork } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { writeFigures } from "./figures.ts";
import { end, type FromFuzzWorker, inputOf, type Outcome, type ToFuzzWorker } from "./fuzz-worker.ts";
import { targets } from "./targets.ts";

const mostMilliseconds = 5000;
const mostBytes = 2 ** 30;
/** Inputs that a process is asked for at a time. */
const batch = 200;
const failuresFolder = join(process.cwd(), ".fuzz");

interface Failure {
  readonly number: number;
  readonly why: string;
}

interface Tally {
  tried: number;
  refused: number;
  accepted: number;
  readonly failures: Failure[];
}

let child: ChildProcess | undefined;

function started(): ChildProcess {
  if (child?.connected) return child;
  const path = fileURLToPath(new URL("./fuzz-worker.js", import.meta.url));
  child = fork(path, [], {
    env: { ...process.env, CLP_DD_FUZZ: "1" },
    serialization: "advanced",
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
  return child;
}

/** Has a process read some inputs; it is ended where one takes too long or too much, and the rest left. */
async function read(
  request: ToFuzzWorker,
  heard: (number: number, outcome: Outcome) => void,
): Promise<number> {
  const worker = started();
  let current = request.from;
  let began = performance.now();
  return new Promise((resolve) => {
    const failed = (why: string) => {
      finish();
      worker.kill("SIGKILL");
      child = undefined;
      heard(current, { kind: "failed", why });
      resolve(current + 1);
    };
    const watch = setInterval(async () => {
      if (performance.now() - began > mostMilliseconds) failed(`took more than ${mostMilliseconds / 1000} s`);
      const status = await readFile(`/proc/${worker.pid}/status`, "utf8").catch(() => "");
      const bytes = 1024 * Number(/^RssAnon:\s+(\d+) kB/m.exec(status)?.[1] ?? 0);
      if (bytes > mostBytes && child === worker) failed(`took ${(bytes / 2 ** 30).toFixed(2)} GiB`);
    }, 100);
    const listen = (received: unknown) => {
      const message = received as FromFuzzWorker;
      if (message.kind === "begin") {
        current = message.number;
        began = performance.now();
      } else if (message.kind === "tried") {
        heard(message.number, message.outcome);
      } else {
        finish();
        resolve(request.from + request.count);
      }
    };
    const exited = (code: number | null, signal: string | null) =>
      failed(`ended the process (${signal ?? code})`);
    const finish = () => {
      clearInterval(watch);
      worker.off("message", listen);
      worker.off("exit", exited);
    };
    worker.on("message", listen);
    worker.once("exit", exited);
    worker.send(request);
  });
}

/** The failing input with as much of its end and middle left out as still fails in the same way. */
async function minimized(target: string, seed: number, { number, why }: Failure): Promise<Uint8Array> {
  let input = await inputOf(target, seed, number);
  const deadline = performance.now() + 20_000;
  const kind = (text: string) => text.replace(/\d+/g, "#").slice(0, 60);
  for (let size = input.length >> 1; size >= 1 && performance.now() < deadline; size >>= 1) {
    for (let at = 0; at + size <= input.length && performance.now() < deadline; ) {
      const smaller = Uint8Array.from([...input.subarray(0, at), ...input.subarray(at + size)]);
      let outcome: Outcome = { kind: "refused" };
      await read({ target, seed, from: number, count: 1, input: smaller }, (_, found) => {
        outcome = found;
      });
      if (outcome.kind === "failed" && kind(outcome.why ?? "") === kind(why)) input = smaller;
      else at += size;
    }
  }
  return input;
}

async function fuzz(target: string, milliseconds: number, count: number, seed: number): Promise<Tally> {
  const tally: Tally = { tried: 0, refused: 0, accepted: 0, failures: [] };
  const deadline = performance.now() + milliseconds;
  let next = 0;
  while (performance.now() < deadline && next < count) {
    next = await read(
      { target, seed, from: next, count: Math.min(batch, count - next) },
      (number, { kind, why = "" }) => {
        tally.tried++;
        if (kind === "failed") tally.failures.push({ number, why });
        else tally[kind]++;
      },
    );
  }
  // Failures at the same place are one.
  const placeOf = ({ why }: Failure) => (why.split("\n")[1] ?? why).replace(/\d+\.\d+ GiB/, "");
  const kinds = new Map(tally.failures.map((failure) => [placeOf(failure), failure]));
  for (const failure of kinds.values()) {
    const path = join(failuresFolder, `${target}-${seed}-${failure.number}`);
    await mkdir(failuresFolder, { recursive: true });
    await writeFile(path, await minimized(target, seed, failure));
    console.log(`  ${path}: ${failure.why}`);
  }
  return tally;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: "string", default: "10" },
    seed: { type: "string", default: "1" },
    count: { type: "string" },
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
const share = (Number(values.minutes) * 60_000) / names.length;
const most = values.count === undefined ? Number.POSITIVE_INFINITY : Number(values.count);
const said: string[] = [];
const say = (line: string) => {
  said.push(line);
  console.log(line);
};
const lines: { target: string; tried: number; refused: number; accepted: number; failed: number }[] = [];
for (const target of names) {
  const { tried, refused, accepted, failures } = await fuzz(target, share, most, seed);
  const failed = failures.length;
  lines.push({ target, tried, refused, accepted, failed });
  say(`${target}: ${tried} tried, ${refused} refused, ${accepted} accepted, ${failed} failed`);
}
const sum = (key: "tried" | "refused" | "accepted" | "failed") =>
  lines.reduce((total, line) => total + line[key], 0);
say(
  `all: ${sum("tried")} tried, ${sum("refused")} refused, ${sum("accepted")} accepted, ${sum("failed")} failed (seed ${seed})`,
);
if (values.page) await writeFigures("fuzz", said);
child?.disconnect();
await end();
process.exitCode = sum("failed") === 0 ? 0 : 1;
