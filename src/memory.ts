import { readFile, writeFile } from "node:fs/promises";

/** One part of a run: how long it took and the most memory the process held during it. */
export interface MeasuredStage {
  readonly name: string;
  readonly seconds: number;
  readonly peakMemoryBytes: number;
}

interface Measured<T> {
  readonly result: T;
  readonly stage: MeasuredStage;
}

/** Stages under way, one inside of the other, with the highest peak seen before the last reset. */
const running = new Set<{ peak: number }>();

/**
 * Runs `work` and measures it. The peak is the resident memory (`peakMemoryBytes`), all threads together: on Linux that of
 * this stage alone (the kernel's high-water mark is reset before), elsewhere the highest since the process began.
 * A stage may be inside another, whose peak is then not forgotten.
 */
export async function measureStage<T>(name: string, work: () => Promise<T>): Promise<Measured<T>> {
  await notePeak();
  await resetPeak();
  const own = { peak: 0 };
  running.add(own);
  try {
    const start = performance.now();
    const result = await work();
    const seconds = (performance.now() - start) / 1000;
    await notePeak();
    return { result, stage: { name, seconds, peakMemoryBytes: own.peak } };
  } finally {
    running.delete(own);
  }
}

/** A list of stages, and a function that runs one, adds its measurements to the list and gives its result. */
export function stageCollector() {
  const stages: MeasuredStage[] = [];
  const staged = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    const { result, stage } = await measureStage(name, work);
    stages.push(stage);
    return result;
  };
  return { stages, staged };
}

async function notePeak(): Promise<void> {
  const peak = await peakMemoryBytes();
  for (const stage of running) stage.peak = Math.max(stage.peak, peak);
}

async function resetPeak(): Promise<void> {
  // "5" resets VmHWM (man 5 proc); where that is not to be had the peak is the whole process's.
  for (const pid of ["self", ...others]) await writeFile(`/proc/${pid}/clear_refs`, "5").catch(() => {});
}

/** Other processes of the same work. */
const others = new Set<number>();

/** Counts another process in from now on, until the function that it gives is called, before that process ends. */
export function countProcess(pid: number): () => Promise<void> {
  others.add(pid);
  return async () => {
    if (running.size > 0) await notePeak();
    others.delete(pid);
  };
}

/**
 * Highest resident memory since the last reset, in bytes: that of this process, and of the others that are counted in
 * what is not of files, whose pages (programs, mapped weights) are in memory once for all.
 */
export async function peakMemoryBytes(): Promise<number> {
  const kilobytes = async (pid: number | "self") => {
    const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
    return (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0);
  };
  let sum = (await kilobytes("self"))("VmHWM") || process.resourceUsage().maxRSS;
  for (const pid of others) {
    const of = await kilobytes(pid);
    sum += Math.max(0, of("VmHWM") - of("RssFile"));
  }
  return 1024 * sum;
}
