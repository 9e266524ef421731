import { parseAddress } from "./address.ts";
import { workerName } from "./run-record.ts";
import { listRuns, type RunState, readRun } from "./run-server.ts";
import { Connection } from "./server.ts";

/** What is known of a run, as `clp-dd runs --json` prints it. */
export interface RunReport {
  readonly name: string;
  readonly state: "running" | "waiting for workers" | "finished";
  readonly step: number;
  readonly steps: number;
  readonly loss: number | null;
  readonly images: number;
  readonly shards: number;
  /** Shards that nobody has. */
  readonly unownedShards: number;
  /** Images that all workers compute per second of a step, waiting included. */
  readonly imagesPerSecond: number | null;
  /** Step of the latest checkpoint of all shards. */
  readonly checkpoint: number;
  readonly out: string;
  readonly began: string;
  readonly workers: readonly WorkerReport[];
}

export interface WorkerReport {
  readonly name: string;
  readonly cpu: string;
  readonly doing: string;
  readonly step: number;
  readonly shards: number;
  /** Images per second of its own work, without waiting for others. */
  readonly imagesPerSecond: number | null;
  readonly waitSeconds: number | null;
  /** Whether the others wait for it: its shards take it far longer than the median of them. */
  readonly slow: boolean;
}

/** A worker is slow whose step takes this many times the median of all, without waiting. */
const slowFactor = 1.5;

/**
 * The run that an address names, or all runs of a server.
 * @param address redis://HOST:PORT/RUN or redis://HOST:PORT
 * @param patienceSeconds for which the server may be silent
 * @throws ServerError
 */
export async function reportRuns(address: string, patienceSeconds: number): Promise<RunReport[]> {
  const server = parseAddress(address, process.env);
  const connection = new Connection(server, { purpose: "listing runs", patience: patienceSeconds });
  try {
    const names = server.run === undefined ? await listRuns(connection) : [server.run];
    const reports: RunReport[] = [];
    for (const name of names) {
      const state = await readRun(connection, name);
      if (state) reports.push(reportOf(state));
    }
    return reports;
  } finally {
    connection.end();
  }
}

/** What is shown of a run. */
export function reportOf(state: RunState): RunReport {
  const { terms, workers, generation } = state;
  const own = workers.map(({ stepSeconds, waitSeconds, owned }) =>
    stepSeconds === null || owned === 0 ? undefined : stepSeconds - (waitSeconds ?? 0),
  );
  const known = own.filter((seconds) => seconds !== undefined).sort((a, b) => a - b);
  const median = known[Math.floor((known.length - 1) / 2)];
  const ahead = workers.reduce<(typeof workers)[number] | undefined>(
    (best, worker) => (best && best.step >= worker.step ? best : worker),
    undefined,
  );
  const stepSeconds = ahead?.stepSeconds ?? null;
  return {
    name: state.name,
    state: state.state === "finished" ? "finished" : workers.length === 0 ? "waiting for workers" : "running",
    step: state.state === "finished" ? terms.steps : Math.max(generation, ahead?.step ?? 0),
    steps: terms.steps,
    loss: ahead?.loss ?? null,
    images: terms.count,
    shards: terms.shards,
    unownedShards: state.state === "finished" ? 0 : state.unowned,
    imagesPerSecond: stepSeconds === null ? null : terms.count / Math.max(1e-3, stepSeconds),
    checkpoint: generation,
    out: terms.out,
    began: terms.began,
    workers: workers.map((worker, i) => ({
      name: workerName(worker),
      cpu: worker.cpu,
      doing: worker.doing,
      step: worker.step,
      shards: worker.owned,
      imagesPerSecond: worker.imagesPerSecond,
      waitSeconds: worker.waitSeconds,
      slow: known.length > 1 && own[i] !== undefined && own[i] > slowFactor * median,
    })),
  };
}
