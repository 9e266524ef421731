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
 * Runs `work` and measures it. The peak is the process's resident memory, all threads together: on Linux that of
 * this stage alone (the kernel's high-water mark is reset before), elsewhere the highest since the process began.
 * A stage may lie inside of another, whose peak is then not forgotten.
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
  await writeFile("/proc/self/clear_refs", "5").catch(() => {});
}

/** Highest resident memory of the process since the last reset, in bytes. */
export async function peakMemoryBytes(): Promise<number> {
  const status = await readFile("/proc/self/status", "utf8").catch(() => "");
  const kilobytes = /^VmHWM:\s+(\d+) kB/m.exec(status)?.[1];
  return 1024 * (kilobytes === undefined ? process.resourceUsage().maxRSS : Number(kilobytes));
}
