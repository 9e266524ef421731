/**
 * What starting from an earlier set saves: the emoji set at 128 px, distilled anew from noise and from an earlier set, in few
 * steps and in many. The earlier set is of seven of the eight groups (a class is added), or of two of the four training artists
 * (images are added). Writes the measured part of docs/adding.md.
 *
 *   node .bench/bench/runs/adding.js [--steps 100] [--short 10,25,50] [--seeds 1] [--every 4] [--threads 2]
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import sharp from "sharp";
import { openEmoji } from "../../src/data/emoji.ts";
import { distill } from "../../src/index.ts";
import { measuredBy, writeMeasuredPart } from "../lib/measured-part.ts";

const { values: options } = parseArgs({
  options: {
    steps: { type: "string", default: "100" },
    short: { type: "string", default: "10,25,50" },
    seeds: { type: "string", default: "1" },
    every: { type: "string", default: "4" },
    threads: { type: "string", default: "2" },
  },
});
const steps = Number(options.steps);
/** One icon in so many is taken. */
const every = Number(options.every);
const short = options.short.split(",").map(Number);
const seeds = Array.from({ length: Number(options.seeds) }, (_, seed) => seed);
const work = await mkdtemp(join(tmpdir(), "clp-dd-adding-"));

/** The emoji set as an image folder, of the icon sets and without the class that are named. */
async function drawn(
  name: string,
  { sets, without }: { readonly sets?: readonly string[]; readonly without?: string },
): Promise<string> {
  const emoji = await openEmoji();
  const folder = join(work, name);
  for (const split of ["train", "test"] as const) {
    const images = emoji.images(split);
    for (let i = 0; i < images.length; i += every) {
      const { id, label, open } = images.at(i);
      const [set, icon] = id.split("/") as [string, string];
      const group = emoji.classes[label]!;
      if (group === without || (split === "train" && sets && !sets.includes(set))) continue;
      const path = join(folder, split, group);
      await mkdir(path, { recursive: true });
      const png = await sharp(await open())
        .flatten({ background: "white" })
        .png({ compressionLevel: 1 })
        .toBuffer();
      await writeFile(join(path, `${set}-${icon}.png`), png);
    }
  }
  return folder;
}

/** Test accuracy of the closed form after a run, a fraction. */
async function accuracyOf(data: string, run: { steps: number; seed: number; from?: string; out?: string }) {
  const { out = join(work, "run"), ...rest } = run;
  const { manifest } = await distill({
    ...{
      data,
      out,
      size: 128,
      resize: 128,
      threads: Number(options.threads),
      baselines: false,
      edits: false,
    },
    ...{ overwrite: true, cacheFolder: join(work, "cache"), ...rest },
  });
  const { top1 } = manifest.metrics.closedForm!;
  process.stderr.write(
    `  ${rest.steps} steps${rest.from ? " from the earlier set" : ""}: ${(100 * top1).toFixed(1)}\n`,
  );
  return top1;
}

const starts = ["noise", "seven of the eight groups", "two of the four artists"] as const;
type Start = (typeof starts)[number];

async function measure() {
  const all = await drawn("all", {});
  const earlier: Partial<Record<Start, string>> = {
    [starts[1]]: await drawn("seven", { without: "food-drink" }),
    [starts[2]]: await drawn("two", { sets: ["noto", "twemoji"] }),
  };
  const found = new Map<string, number[]>();
  const note = (start: Start, count: number, top1: number) => {
    const key = `${start} ${count}`;
    found.set(key, [...(found.get(key) ?? []), top1]);
  };
  for (const seed of seeds) {
    note("noise", steps, await accuracyOf(all, { steps, seed }));
    for (const start of starts) {
      const data = earlier[start];
      const from = data && join(work, `${start}-${seed}`);
      if (data && from) await accuracyOf(data, { steps, seed, out: from });
      for (const count of short) {
        const set = await accuracyOf(all, { steps: count, seed, ...(from ? { from } : {}) });
        note(start, count, set);
      }
    }
  }
  return found;
}

function text(found: ReadonlyMap<string, readonly number[]>): string {
  const mean = (start: Start, count: number): number | undefined => {
    const values = found.get(`${start} ${count}`);
    return values && values.reduce((sum, value) => sum + value, 0) / values.length;
  };
  const percent = (value: number | undefined) => (value === undefined ? "" : (100 * value).toFixed(1));
  const goal = mean("noise", steps)!;
  const rows = [...short, steps].map(
    (count) => `| ${count} | ${starts.map((start) => percent(mean(start, count))).join(" | ")} |`,
  );
  const saved = starts.slice(1).map((start) => {
    const reached = short.find((count) => mean(start, count)! >= goal);
    return reached === undefined
      ? `from the set of ${start} it was not reached in ${short.at(-1)} steps`
      : `from the set of ${start} it took ${reached} steps or fewer, ${steps - reached} less`;
  });
  return `
One in ${every} icons of the emoji set at 128 px, eight groups: top-1 of the closed form on the test images, in percent, mean over ${seeds.length} seed${seeds.length === 1 ? "" : "s"}, by
the number of steps and what the run starts from. The earlier sets had ${steps} steps.

| steps | noise | set of ${starts[1]} | set of ${starts[2]} |
|--:|--:|--:|--:|
${rows.join("\n")}

To the ${percent(goal)} % of ${steps} steps from noise: ${saved.join("; ")}.

${measuredBy("bench/runs/adding.ts")}
`;
}

try {
  const measured = text(await measure());
  writeMeasuredPart("docs/adding.md", "bench/runs/adding.ts", measured);
  process.stdout.write(measured);
} finally {
  await rm(work, { recursive: true, force: true });
}
process.exit(0);
