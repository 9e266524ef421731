/**
 * Kills the command line at random moments, resumes it and compares what came of it with runs that nobody stopped:
 * npm run torture [--kills N] [--seed S] [--soak MINUTES] [--page].
 * Then: a full and a read-only disk, a lost cache, two processes at once, a wrong clock. A soak distils again and again in
 * one process and writes resident memory, handles and threads as a plot (.torture/soak.svg).
 */
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { readArtifact } from "../../src/artifact/read-artifact.ts";
import { seededRandom } from "../../src/random.ts";
import { writeFigures } from "./figures.ts";
import { soak } from "./soak.ts";

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "100" },
    seed: { type: "string", default: "1" },
    soak: { type: "string", default: "0" },
    page: { type: "boolean", default: false },
  },
});
const kills = Number(values.kills);
const random = seededRandom(Number(values.seed), "torture");
const main = join(process.cwd(), "dist/cli/main.js");
const home = await mkdtemp(join(tmpdir(), "clp-dd-torture-"));
const at = (name: string) => join(home, name);

interface Run {
  readonly code: number | null;
  readonly milliseconds: number;
  readonly stderr: string;
}

/** Runs the command line in a group of processes of its own; all of them are killed after some milliseconds. */
function run(
  args: readonly string[],
  killAfter?: number,
  env: Readonly<Record<string, string>> = {},
): Promise<Run> {
  const began = performance.now();
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [main, ...args], {
      detached: true,
      env: { ...process.env, ...env },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let stderr = "";
    child.stderr.on("data", (data) => {
      stderr += data;
    });
    const timer =
      killAfter === undefined
        ? undefined
        : setTimeout(() => {
            try {
              process.kill(-child.pid!, "SIGKILL");
            } catch {
              // It has ended already.
            }
          }, killAfter);
    child.on("close", (code) => {
      clearTimeout(timer);
      resolve({ code, milliseconds: performance.now() - began, stderr });
    });
  });
}

/** A sha256 of the files of a folder whose bytes depend on what was computed alone. */
async function hashOf(folder: string, which: RegExp): Promise<string> {
  const hash = createHash("sha256");
  const names = (await readdir(folder, { recursive: true })).filter((name) => which.test(name)).sort();
  for (const name of names) hash.update(name).update(await readFile(join(folder, name)));
  return names.length === 0 ? "nothing" : hash.digest("hex");
}

const setFiles = /(^|\/)(distilled\.safetensors|probe\.safetensors|.*\.png)$/;
const cacheFiles = /(features|rows)\.bin$/;

/** Work that is killed, and how its outcome is told from another. */
interface Work {
  readonly name: string;
  /** Brings the folder into the state before the work. */
  prepare(): Promise<void>;
  readonly args: readonly string[];
  /** What takes the work up again. */
  readonly again: readonly string[];
  outcome(): Promise<string>;
  /** Throws where what a kill left is neither the state before nor the one after. */
  check?(): Promise<void>;
}

execFileSync(process.execPath, [
  "--input-type=module",
  "-e",
  `import sharp from "sharp"; import { mkdirSync } from "node:fs";
   for (const [name, color] of [["red", [200, 40, 40]], ["green", [40, 170, 60]], ["blue", [50, 60, 200]]]) {
     mkdirSync(process.argv[1] + "/" + name, { recursive: true });
     for (let i = 0; i < 8; i++)
       await sharp(Uint8Array.from({ length: 4800 }, (_, p) => (color[p % 3] + ((p * 7919 + i * 104729) % 97)) % 256),
         { raw: { width: 40, height: 40, channels: 3 } }).png().toFile(process.argv[1] + "/" + name + "/" + i + ".png");
   }`,
  at("photos"),
]);

const data = [at("photos"), "--size", "32", "--threads", "1"];
const cache = ["--cache-dir", at("cache")];
const distil = [
  "distill",
  ...data,
  ...cache,
  "--steps",
  "40",
  "--no-baselines",
  "--no-edits",
  "--out",
  at("out"),
];
const fresh = (...names: readonly string[]) =>
  Promise.all(names.map((name) => rm(at(name), { recursive: true, force: true }))).then(() => {});
const whole = async () => {
  if (existsSync(at("out")) || existsSync(`${at("out")}.replaced-by-clp-dd`)) await readArtifact(at("out"));
};
const part = (index: number) => ["features", ...data, "--cache-dir", at("parts"), "--shard", `${index}/2`];

const works: Work[] = [
  {
    name: "distill",
    prepare: () => fresh("out", "out.checkpoint"),
    args: distil,
    again: [...distil, "--resume"],
    outcome: () => hashOf(at("out"), setFiles),
    check: whole,
  },
  {
    name: "features",
    prepare: () => fresh("own"),
    args: ["features", ...data, "--cache-dir", at("own")],
    again: ["features", ...data, "--cache-dir", at("own")],
    outcome: () => hashOf(at("own"), cacheFiles),
  },
  {
    name: "overwrite",
    async prepare() {
      await fresh("out", "out.checkpoint");
      await cp(at("before"), at("out"), { recursive: true });
    },
    args: [...distil, "--overwrite"],
    again: [...distil, "--overwrite"],
    outcome: () => hashOf(at("out"), setFiles),
    async check() {
      if (!existsSync(at("out")) && !existsSync(`${at("out")}.replaced-by-clp-dd`))
        throw new Error("the set is gone");
      await whole();
    },
  },
  {
    name: "merge",
    async prepare() {
      await fresh("parts");
      await cp(at("parts-before"), at("parts"), { recursive: true });
    },
    args: ["features", ...data, "--cache-dir", at("parts"), "--merge", "2"],
    again: ["features", ...data, "--cache-dir", at("parts"), "--merge", "2"],
    outcome: () => hashOf(at("parts"), cacheFiles),
  },
];

interface Line {
  readonly name: string;
  readonly tried: number;
  readonly lost: number;
}
const said: string[] = [];
const say = (line: string) => {
  said.push(line);
  console.log(line);
};
const lines: Line[] = [];
const report = (line: Line, unit: string) => {
  lines.push(line);
  say(`${line.name}: ${line.tried} ${unit}, ${line.lost} lost`);
};

// What the works begin from: a set of other settings, and the parts of a cache.
await run([...distil, "--seed", "9"]);
await cp(at("out"), at("before"), { recursive: true });
for (const index of [1, 2]) {
  const { code, stderr } = await run(part(index));
  if (code !== 0) throw new Error(`A part could not be made: ${stderr}`);
}
await cp(at("parts"), at("parts-before"), { recursive: true });

for (const [w, work] of works.entries()) {
  await work.prepare();
  const reference = await run(work.args);
  if (reference.code !== 0) throw new Error(`${work.name} does not work by itself: ${reference.stderr}`);
  const expected = await work.outcome();
  let lost = 0;
  const own = Math.floor(kills / works.length) + (w < kills % works.length ? 1 : 0);
  for (let kill = 0; kill < own; ) {
    await work.prepare();
    // Up to three kills of the same work, one after the other.
    for (let more = 1 + random.below(3); more > 0 && kill < own; more--, kill++) {
      const moment = Math.round(random.uniform() * reference.milliseconds * 1.05);
      await run(kill === 0 ? work.args : work.again, moment);
      await work.check?.().catch((error: unknown) => {
        lost++;
        console.log(`  ${work.name}, killed after ${moment} ms: ${String(error)}`);
      });
    }
    const resumed = await run(work.again);
    const done = resumed.code === 0 || /already holds a distilled set/.test(resumed.stderr);
    if (done && (await work.outcome()) === expected) continue;
    lost++;
    console.log(
      `  ${work.name}: resumed with code ${resumed.code}, ${resumed.stderr.trim().split("\n").at(-1)}`,
    );
  }
  report({ name: work.name, tried: own, lost }, "kills");
}

const expectedSet = await (async () => {
  await works[0]!.prepare();
  await run(distil);
  return hashOf(at("out"), setFiles);
})();

/** Something that happens to a run, after which the run ends as if it had not, or says what to do and then does. */
async function surrounding(name: string, happens: () => Promise<boolean | undefined>): Promise<void> {
  await fresh("out", "out.checkpoint");
  const held = await happens().catch((error: unknown) => {
    console.log(`  ${name}: ${String(error)}`);
    return false;
  });
  if (held === undefined) say(`${name}: not tried (no disk can be mounted here)`);
  else report({ name, tried: 1, lost: held ? 0 : 1 }, "tried");
}

/** Mounts a small disk; undefined where that is not allowed. */
function mounted(folder: string, size: string): boolean {
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", folder], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

for (const [name, fill] of [
  ["full disk", (disk: string) => writeFile(join(disk, "fill"), Buffer.alloc(100 * 1024))],
  ["read-only disk", async (disk: string) => void execFileSync("mount", ["-o", "remount,ro", disk])],
] as const) {
  await surrounding(name, async () => {
    await mkdir(at("disk"), { recursive: true });
    if (!mounted(at("disk"), "128k")) return undefined;
    const args = [...distil.slice(0, -1), join(at("disk"), "out")];
    try {
      await fill(at("disk"));
      const stopped = await run(args);
      if (stopped.code !== 1 || !/disk is (full|read-only)/.test(stopped.stderr)) return false;
      execFileSync("mount", ["-o", "remount,rw,size=64m", at("disk")]);
      const again = await run([...args, ...(/--resume/.test(stopped.stderr) ? ["--resume"] : [])]);
      return again.code === 0 && (await hashOf(join(at("disk"), "out"), setFiles)) === expectedSet;
    } finally {
      execFileSync("umount", [at("disk")]);
    }
  });
}
await surrounding("lost cache", async () => {
  await run(distil, 3000);
  await fresh("cache");
  return (await run([...distil, "--resume"])).code === 0 && (await works[0]!.outcome()) === expectedSet;
});
await surrounding("two processes", async () => {
  const both = await Promise.all([run(distil), run(distil)]);
  const refused = both.filter(({ code }) => code !== 0);
  const named = refused.every(({ stderr }) => /process|already holds/.test(stderr));
  return refused.length === 1 && named && (await works[0]!.outcome()) === expectedSet;
});
await surrounding("wrong clock", async () => {
  await run(distil, 3000);
  // What the killed process left is of a year from now.
  const future = new Date(Date.now() + 365 * 86_400_000);
  for (const name of await readdir(home, { recursive: true })) {
    await utimes(at(name), future, future).catch(() => {});
  }
  return (await run([...distil, "--resume"])).code === 0 && (await works[0]!.outcome()) === expectedSet;
});

const lost = lines.reduce((sum, line) => sum + line.lost, 0);
const killed = lines.filter(({ name }) => works.some((work) => work.name === name));
say(
  `all: ${killed.reduce((sum, line) => sum + line.tried, 0)} kills and ${lines.length - killed.length} surroundings, ${lost} lost (seed ${values.seed})`,
);
if (Number(values.soak) > 0) say(await soak(Number(values.soak), home));
if (values.page) await writeFigures("torture", said);
await rm(home, { recursive: true, force: true });
process.exitCode = lost === 0 ? 0 : 1;
