/**
 * Kills the command line at random moments, resumes it and compares what came of it with runs that nobody stopped:
 * npm run torture [--kills N] [--seed S] [--minutes N] [--processes N] [--soak MINUTES] [--page].
 * Then: a full and a read-only disk, a lost cache, two processes at once, a wrong clock. A soak works again and again in
 * one process and draws memory, handles and threads of it and of all that it started (.torture/soak.svg).
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Random, seededRandom } from "../../src/random.ts";
import { writeFigures } from "./figures.ts";
import { soak } from "./soak.ts";
import { type Killed, killed, run } from "./torture-run.ts";
import { surroundings } from "./torture-surroundings.ts";
import { type Home, madeHome, type Work } from "./torture-works.ts";

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "100" },
    /** No kill begins after these. */
    minutes: { type: "string", default: "1000" },
    seed: { type: "string", default: "1" },
    processes: { type: "string", default: "1" },
    soak: { type: "string", default: "0" },
    page: { type: "boolean", default: false },
  },
});
const most = Number(values.kills);
const began = performance.now();
const deadline = began + 60_000 * Number(values.minutes);
let stopped = false;
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => (stopped = true));
const isOver = () => stopped || performance.now() > deadline;

/** Kills of the same work one after the other, before it is left to end. */
const inARow = 5;

interface Tally {
  kills: number;
  lost: number;
}
const tallies = new Map<string, Tally>();
const byKind: Record<Killed, number> = { all: 0, command: 0, models: 0 };
const tallyOf = (name: string): Tally => {
  const known = tallies.get(name) ?? { kills: 0, lost: 0 };
  tallies.set(name, known);
  return known;
};
const killsSoFar = () => [...tallies.values()].reduce((sum, { kills }) => sum + kills, 0);

const said: string[] = [];
const say = (line: string) => {
  said.push(line);
  console.log(line);
};

/** What a work leaves undisturbed, and how long it takes. */
async function referenceOf(work: Work): Promise<{ expected: string; milliseconds: number }> {
  await work.prepare();
  const { code, stderr, milliseconds } = await run(work.args);
  if (code !== 0) throw new Error(`${work.name} does not work by itself: ${stderr}`);
  return { expected: await work.outcome(), milliseconds };
}

/** Kills a work a few times, lets it end, and compares. */
async function killedAndResumed(
  work: Work,
  { expected, milliseconds }: { expected: string; milliseconds: number },
  random: Random,
): Promise<void> {
  const tally = tallyOf(work.name);
  const history: string[] = [];
  const lose = (why: string) => {
    tally.lost++;
    console.log(`  ${work.name}, ${history.join(", ")}: ${why}`);
  };
  await work.prepare();
  for (let more = 1 + random.below(inARow), first = true; more > 0; more--, first = false) {
    if (isOver() || killsSoFar() >= most) break;
    const after = Math.round(random.uniform() * milliseconds * 1.05);
    const what = killed[random.below(killed.length)]!;
    history.push(`${what} killed after ${after} ms`);
    try {
      const { killed: hit } = await run(first ? work.args : work.again(), { after, what });
      if (hit) {
        tally.kills++;
        byKind[what]++;
      }
      await work.check?.(expected);
    } catch (error) {
      lose(String(error));
    }
  }
  if (history.length === 0) return;
  const resumed = await run(work.again());
  const isDone = resumed.code === 0 || /already holds/.test(resumed.stderr);
  if (isDone && (await work.outcome()) === expected) return;
  lose(`resumed with code ${resumed.code}, ${resumed.stderr.trim().split("\n").at(-1)}`);
}

/** Takes the works in turn until there are enough kills. */
async function torture({ works }: Home, lane: number): Promise<void> {
  const random = seededRandom(Number(values.seed), `torture ${lane}`);
  const references = new Map<Work, Awaited<ReturnType<typeof referenceOf>>>();
  for (const work of works) references.set(work, await referenceOf(work));
  for (let turn = 0; !isOver() && killsSoFar() < most; turn++) {
    const work = works[turn % works.length]!;
    await killedAndResumed(work, references.get(work)!, random);
  }
}

/** Kills, and then what else may happen to a run; the number of what was lost. */
async function tortured(homes: readonly [Home, ...Home[]]): Promise<number> {
  await Promise.all(homes.map(torture));
  for (const [name, { kills, lost }] of tallies) say(`${name}: ${kills} kills, ${lost} lost`);
  const [home] = homes;
  const { expected } = await referenceOf(home.works[0]);
  let tried = 0;
  let lost = [...tallies.values()].reduce((sum, tally) => sum + tally.lost, 0);
  for (const { name, happens } of surroundings(home, expected)) {
    await home.fresh("out", "out.checkpoint");
    const held = await happens().catch((error: unknown) => {
      console.log(`  ${name}: ${String(error)}`);
      return false;
    });
    if (held === undefined) {
      say(`${name}: not tried (no disk can be mounted here)`);
      continue;
    }
    tried++;
    if (!held) lost++;
    say(`${name}: 1 tried, ${held ? 0 : 1} lost`);
  }
  const minutes = ((performance.now() - began) / 60_000).toFixed(1);
  const kinds = killed.map((what) => `${what} ${byKind[what]}`).join(", ");
  say(
    `all: ${killsSoFar()} kills (of ${kinds}) and ${tried} surroundings, ${lost} lost (seed ${values.seed}, ${minutes} minutes)`,
  );
  return lost;
}

const home = await mkdtemp(join(tmpdir(), "clp-dd-torture-"));
const homes: Home[] = [];
for (let lane = 0; lane < Math.max(1, Number(values.processes)); lane++) {
  homes.push(await madeHome(join(home, String(lane))));
}
const status = setInterval(() => {
  const lost = [...tallies.values()].reduce((sum, tally) => sum + tally.lost, 0);
  console.error(`${Math.round((performance.now() - began) / 1000)} s: ${killsSoFar()} kills, ${lost} lost`);
}, 60_000);
let failed = false;
if (most > 0) {
  failed = (await tortured(homes as [Home, ...Home[]])) > 0;
  if (values.page) await writeFigures("torture", said);
}
clearInterval(status);
if (Number(values.soak) > 0) {
  const { lines, grows } = await soak(Number(values.soak), homes[0]!.at("photos"), join(home, "soak"));
  for (const line of lines) say(line);
  if (values.page) await writeFigures("soak", lines);
  failed ||= grows;
}
await rm(home, { recursive: true, force: true });
process.exitCode = failed ? 1 : 0;
