import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { classify } from "../../src/api/classify.ts";
import { distill, exportClassifier } from "../../src/api/commands.ts";
import { loadEncoder } from "../../src/api/load-encoder.ts";
import { descendants } from "../support/processes.ts";

/** What some processes hold. */
interface Sample {
  readonly seconds: number;
  /** Memory of their own, MiB. */
  readonly memory: number;
  readonly handles: number;
  readonly threads: number;
  readonly processes: number;
}

/** What may be added from the second quarter of a soak to the last before it counts as growth: a share, and MiB. */
const tolerance = { share: 0.1, mebibytes: 16, handles: 4 };

/**
 * Distils, classifies and exports again and again in one process, whose jobs run in another that stays; between the works
 * it is written down what both, and all that they started, hold. Writes .torture/soak.svg.
 */
export async function soak(
  minutes: number,
  photos: string,
  home: string,
): Promise<{ lines: string[]; grows: boolean }> {
  const samples: { own: Sample[]; others: Sample[] } = { own: [], others: [] };
  const began = performance.now();
  const run = { size: 32, threads: 1 };
  // For as long as an encoder is held, the process that runs models is the same.
  const encoder = await loadEncoder("efficientnet-lite0", run);
  let rounds = 0;
  while (performance.now() - began < 60_000 * minutes) {
    const [out, exported] = [join(home, "set"), join(home, "exported")];
    const quick = { steps: 20, baselines: false, edits: false, overwrite: true };
    await distill({ ...run, ...quick, data: photos, out, cacheFolder: join(home, "cache") });
    await classify(out, [join(photos, "red", "0.png")], { threads: 1 });
    await exportClassifier(out, { out: exported, threads: 1, overwrite: true });
    rounds++;
    const seconds = (performance.now() - began) / 1000;
    samples.own.push(await sampleOf([process.pid], seconds));
    samples.others.push(await sampleOf(descendants(process.pid), seconds));
  }
  await encoder.release();
  await rm(home, { recursive: true, force: true });
  const folder = join(process.cwd(), ".torture");
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "soak.svg"), plot(samples));
  const grown = [...growthOf("the process", samples.own), ...growthOf("those below it", samples.others)];
  const lines = [
    `soak: ${rounds} rounds of distill, classify and export in ${minutes} minutes`,
    described("the process", samples.own),
    described("processes below it", samples.others),
    grown.length === 0 ? "nothing grows" : `grows: ${grown.join(", ")}`,
  ];
  return { lines, grows: grown.length > 0 };
}

async function sampleOf(pids: readonly number[], seconds: number): Promise<Sample> {
  const sum = { memory: 0, handles: 0, threads: 0, processes: 0 };
  for (const pid of pids) {
    try {
      const status = await readFile(`/proc/${pid}/status`, "utf8");
      const number = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1] ?? 0);
      sum.handles += (await readdir(`/proc/${pid}/fd`)).length;
      sum.memory += number("RssAnon") / 1024;
      sum.threads += number("Threads");
      sum.processes++;
    } catch {
      // It ended meanwhile.
    }
  }
  return { ...sum, seconds: Math.round(seconds), memory: Math.round(sum.memory) };
}

const keys = ["memory", "handles", "threads", "processes"] as const;
const units = { memory: " MiB", handles: "", threads: "", processes: "" };
const titles = {
  memory: "memory of their own, MiB",
  handles: "handles",
  threads: "threads",
  processes: "processes",
};

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;

/** The medians of the second quarter and of the last: in the first, caches fill. */
function quarters(samples: readonly Sample[], key: (typeof keys)[number]): readonly [number, number] {
  const quarter = samples.length / 4;
  const part = (from: number) =>
    samples.slice(Math.floor(from * quarter), Math.ceil((from + 1) * quarter)).map((sample) => sample[key]);
  return [median(part(1)), median(part(3))];
}

function growthOf(whose: string, samples: readonly Sample[]): string[] {
  return keys.flatMap((key) => {
    const [before, after] = quarters(samples, key);
    const allowed = key === "memory" ? tolerance.mebibytes : tolerance.handles;
    return after > before * (1 + tolerance.share) + allowed ? [`${key} of ${whose}`] : [];
  });
}

function described(whose: string, samples: readonly Sample[]): string {
  const parts = keys.map((key) => {
    const [before, after] = quarters(samples, key);
    return `${key} ${before} to ${after}${units[key]} (at most ${Math.max(...samples.map((s) => s[key]))})`;
  });
  return `${whose}, medians of the second and last quarter: ${parts.join(", ")}`;
}

/** Lines over time, each from 0 to its own largest: of the process in black, of those below it in red. */
function plot({
  own,
  others,
}: {
  readonly own: readonly Sample[];
  readonly others: readonly Sample[];
}): string {
  const [width, height] = [640, 120];
  const end = Math.max(1, own.at(-1)?.seconds ?? 1);
  const panels = keys.map((key, i) => {
    const most = Math.max(1, ...[...own, ...others].map((sample) => sample[key]));
    const line = (samples: readonly Sample[], color: string) => {
      const points = samples.map(
        (s) => `${((width * s.seconds) / end).toFixed(1)},${(height - (100 * s[key]) / most).toFixed(1)}`,
      );
      return `<polyline fill="none" stroke="${color}" points="${points.join(" ")}"/>`;
    };
    return (
      `<g transform="translate(10 ${10 + i * (height + 30)})"><text y="10">${titles[key]}, at most ${most}</text>` +
      `${line(own, "black")}${line(others, "firebrick")}</g>`
    );
  });
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width + 20}" height="${keys.length * (height + 30) + 20}" ` +
    `font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>${panels.join("")}</svg>\n`
  );
}
