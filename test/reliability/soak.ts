import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { distill } from "../../src/api/commands.ts";

interface Sample {
  readonly seconds: number;
  readonly mebibytes: number;
  readonly handles: number;
  readonly threads: number;
}

/** Distils again and again in this process, and writes what it takes as .torture/soak.svg. */
export async function soak(minutes: number, home: string): Promise<string> {
  const samples: Sample[] = [];
  const began = performance.now();
  let runs = 0;
  while (performance.now() - began < 60_000 * minutes) {
    const out = join(home, "soak");
    await rm(out, { recursive: true, force: true });
    await distill({
      ...{ data: join(home, "photos"), size: 32, threads: 1, steps: 20, out },
      ...{ baselines: false, edits: false, cacheFolder: join(home, "cache") },
    });
    runs++;
    samples.push(await sample((performance.now() - began) / 1000));
  }
  const folder = join(process.cwd(), ".torture");
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "soak.svg"), plot(samples));
  const [first, last] = [samples[Math.min(3, samples.length - 1)]!, samples.at(-1)!];
  return (
    `soak: ${runs} distillations in ${minutes} minutes; resident memory ${first.mebibytes} to ${last.mebibytes} MiB, ` +
    `handles ${first.handles} to ${last.handles}, threads ${first.threads} to ${last.threads}`
  );
}

async function sample(seconds: number): Promise<Sample> {
  const status = await readFile("/proc/self/status", "utf8");
  const number = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1] ?? 0);
  return {
    seconds: Math.round(seconds),
    mebibytes: Math.round(number("VmRSS") / 1024),
    handles: (await readdir("/proc/self/fd")).length,
    threads: number("Threads"),
  };
}

/** Three lines over time, each from 0 to its own largest. */
function plot(samples: readonly Sample[]): string {
  const [width, height] = [640, 120];
  const end = Math.max(1, samples.at(-1)?.seconds ?? 1);
  const panels = (["mebibytes", "handles", "threads"] as const).map((key, i) => {
    const most = Math.max(1, ...samples.map((s) => s[key]));
    const points = samples.map(
      (s) => `${((width * s.seconds) / end).toFixed(1)},${(height - (100 * s[key]) / most).toFixed(1)}`,
    );
    const name = key === "mebibytes" ? "resident memory, MiB" : key;
    return (
      `<g transform="translate(10 ${10 + i * (height + 30)})"><text y="10">${name}, at most ${most}</text>` +
      `<polyline fill="none" stroke="black" points="${points.join(" ")}"/></g>`
    );
  });
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width + 20}" height="${3 * (height + 30) + 20}" ` +
    `font-family="sans-serif" font-size="12">${panels.join("")}</svg>\n`
  );
}
