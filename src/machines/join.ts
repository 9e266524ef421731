import { existsSync } from "node:fs";
import { rmdir } from "node:fs/promises";
import { join } from "node:path";
import type { CurvePoint } from "../artifact/manifest.ts";
import { requireWritableOut } from "../artifact/out-folder.ts";
import type { JobContext } from "../context.ts";
import {
  loadCheckpoint,
  removeCheckpoint,
  requireNoCheckpoint,
  requireSameRun,
} from "../distill/checkpoint.ts";
import { createStep } from "../distill/create-step.ts";
import type { ShardWorkers } from "../distill/images-in-process.ts";
import { initialState } from "../distill/loop.ts";
import { openShardWorkers } from "../distill/open-images.ts";
import { describeMismatch, type RunIdentity, type ShardCut } from "../distill/run-state.ts";
import { shareOut } from "../distill/sharded-images.ts";
import type { DistillState } from "../distill/state.ts";
import { firstParameters, runSteps, type SavedRun } from "../distill/synthesize.ts";
import { viewCount } from "../distill/views.ts";
import { DataError, InterruptedError, ServerError, UsageError } from "../errors.ts";
import { BatchSampler } from "../features/batch-sampler.ts";
import type { RunContext } from "../features/run-context.ts";
import { makeFolders, onDisk, readOrEmpty, replaceFile } from "../files/disk.ts";
import { formatMany } from "../format.ts";
import { nodeRuntime } from "../onnx-vjp/runtime/node.ts";
import { levelCount, noiseParameters, partOf, type SyntheticParameters } from "../synthetic/parameters.ts";
import { version } from "../version.ts";
import type { ServerAddress } from "./address.ts";
import { FeatureLog } from "./feature-log.ts";
import { JoinedImages, LogGap } from "./joined-images.ts";
import { Keeper } from "./keeper.ts";
import { Lanes } from "./lanes.ts";
import {
  type Generation,
  loadImages,
  type Marker,
  RunFolder,
  readMarker,
  removeGenerations,
  requireNoGeneration,
  runFile,
  shareCheckpoint,
} from "./run-folder.ts";
import { protocol, type RunTerms, workerName } from "./run-record.ts";
import {
  LeaseLost,
  openRun,
  type RunRecord,
  RunServer,
  type RunState,
  readRun,
  scriptCommand,
  textOf,
} from "./run-server.ts";
import { Connection } from "./server.ts";
import { WorkerSession } from "./worker-session.ts";

/** How a worker takes part in a run. */
export interface JoinRequest {
  readonly address: ServerAddress & { readonly run: string };
  /** Of each encoder; the images have the size of the first. */
  readonly places: readonly RunContext[];
  /** Makes the parameters that the run starts from, instead of the configuration's `init`. */
  readonly first: (() => Promise<SyntheticParameters>) | undefined;
  readonly identity: RunIdentity;
  /** For intermediates. */
  readonly memoryBytes: number;
  /** Folder of the checkpoints, which all workers share. */
  readonly checkpoints: string;
  readonly out: string;
  readonly resume: boolean;
  readonly overwrite: boolean;
  /** Images in a shard (default: as for one machine). */
  readonly shardImages: number | undefined;
  /** Seconds for which a worker may be silent before others take its shards. */
  readonly leaseSeconds: number;
  /** Seconds without any news after which waiting ends. */
  readonly patienceSeconds: number;
}

/** A run whose steps are all done, and whose result this worker is to write. */
export interface JoinedRun {
  readonly saved: SavedRun & { readonly curve: readonly CurvePoint[]; readonly seconds: number };
  /** The result is written: nothing of the run is needed any more. */
  finish(): Promise<void>;
  /** Leaves the run; where the result was not written, another worker may try. */
  release(): Promise<void>;
}

/** Seconds between two checkpoints. */
const checkpointSeconds = 15;

/**
 * Takes part in a run of many workers, which is begun where the server knows none of this name, until its last step is
 * done and saved.
 * @returns undefined where another worker has written the result
 * @throws UsageError where this worker would distill something else than the others; ServerError; InterruptedError
 */
export async function joinRun(request: JoinRequest, context: JobContext): Promise<JoinedRun | undefined> {
  const { address, patienceSeconds: patience } = request;
  const connection = new Connection(address, { purpose: "distilling", patience });
  const ends: (() => unknown)[] = [() => connection.end()];
  try {
    const known = await readRun(connection, address.run);
    const begun = await begin(connection, request, known);
    if (begun === undefined) return undefined;
    const { record, workers, base } = begun;
    const worker = new JoinedWorker(request, context, connection, record, base);
    ends.push(() => worker.end());
    await worker.open(workers);
    const end = await worker.run();
    const role = await worker.writer();
    if (role === "finished") {
      for (const stop of ends.reverse()) await stop();
      return undefined;
    }
    const { cut, shards } = record.terms;
    const last = { step: request.identity.config.steps, run: record.id };
    const reload = () => loadImages(worker.folder, shards, last);
    return {
      saved: {
        state: end.state,
        parameters: await reload(),
        cut,
        reload,
        curve: end.curve,
        seconds: end.seconds,
      },
      finish: () => worker.finish(),
      release: async () => {
        await worker.leaveQuietly();
        for (const stop of ends.reverse()) await stop();
      },
    };
  } catch (error) {
    for (const stop of ends.reverse()) await stop();
    throw error;
  }
}

interface Begun {
  readonly record: RunRecord;
  readonly workers: ShardWorkers;
  readonly base: Generation | undefined;
}

/** Finds the run, or begins it; undefined where it has ended and its result is there. */
async function begin(
  connection: Connection,
  request: JoinRequest,
  known: RunState | undefined,
): Promise<Begun | undefined> {
  const { address, places, identity, memoryBytes, checkpoints, out, resume, overwrite } = request;
  const [place] = places;
  const { config } = identity;
  if (known?.state === "finished") {
    const same = describeMismatch(known.terms.identity, identity) === undefined;
    if (same && !overwrite && existsSync(join(out, "manifest.json"))) return undefined;
  }
  const abandoned = known !== undefined && known.workers.length === 0 && overwrite;
  const begins = known === undefined || known.state === "finished" || abandoned;
  if (begins) {
    await requireWritableOut(out, overwrite || resume);
    if (!(overwrite || resume)) requireNone(checkpoints);
  } else requireSameTerms(known, request);
  // After an end that nobody waited for, the name is free.
  if (known !== undefined && begins) {
    const removed = await connection.command(scriptCommand("remove", address.run, known.id, ""));
    if (textOf(removed) === "busy") throw isBusy(address);
  }
  const marker = begins && resume ? await resumable(checkpoints) : undefined;
  if (marker) requireSameRun(marker.identity, identity, checkpoints);
  const [size] = place.encoder.preprocessing.crop;
  const count = place.source.classes.length * config.ipc;
  const encoders = places.map(({ encoder }) => encoder);
  for (const encoder of encoders) await encoder.release();
  const open = (cut: Partial<ShardCut> | undefined) =>
    openShardWorkers(place.runtime, encoders, config, memoryBytes, {
      count,
      size,
      cut,
      helpersAlone: true,
    });
  const settled = begins ? marker?.cut : known.terms.cut;
  let workers = await open(
    settled ?? (request.shardImages === undefined ? undefined : { batch: request.shardImages }),
  );
  const { batch, activations, chunks } = workers.plan;
  const terms: RunTerms = {
    ...{ version, protocol, identity, count, out, steps: config.steps },
    cut: { batch, activations },
    shards: chunks,
    base: marker ? { step: marker.step, run: marker.run } : null,
    began: new Date().toISOString(),
  };
  try {
    const { record, began } = await openRun(connection, address.run, terms, terms.base?.step ?? 0);
    if (began) await claimFolder(checkpoints, record.id);
    else {
      requireSameTerms(record, request);
      await requireFolder(checkpoints, record, address);
      const { cut } = record.terms;
      if (cut.batch !== batch || cut.activations !== activations) {
        await workers.release();
        workers = await open(cut);
      }
    }
    return { record, workers, base: record.terms.base ?? undefined };
  } catch (error) {
    await workers.release();
    throw error;
  }
}

/** The checkpoint that workers left, or one run alone; undefined without any. */
async function resumable(folder: string): Promise<Marker | undefined> {
  const marker = await readMarker(folder);
  if (marker) return marker;
  const alone = await loadCheckpoint(folder);
  return alone && shareCheckpoint(folder, alone);
}

function requireNone(checkpoints: string): void {
  requireNoCheckpoint(checkpoints);
  requireNoGeneration(checkpoints);
}

const isBusy = (address: ServerAddress): UsageError =>
  new UsageError(
    `Other workers have just begun the run ${address.shown}. Start the same command again without \`overwrite: true\`.`,
  );

/** @throws UsageError naming what this worker has otherwise than the run */
function requireSameTerms({ terms }: RunRecord, { address, identity }: JoinRequest): void {
  const differences = [
    ...(terms.version === version ? [] : [`clp-dd is ${terms.version} there and ${version} here`]),
    ...(terms.protocol === protocol ? [] : [`the protocol is ${terms.protocol} there and ${protocol} here`]),
    describeMismatch(terms.identity, identity) ?? [],
  ].flat();
  if (differences.length === 0) return;
  throw new UsageError(
    `The run ${address.shown} is another one. What differs: ${differences.join(", ")}. ` +
      "Join with the settings that it was begun with, or give the run another name.",
  );
}

/** Leaves the run's id in the folder of the checkpoints, by which other workers know that they see the same folder. */
async function claimFolder(folder: string, run: string): Promise<void> {
  await onDisk(folder, async () => {
    await makeFolders(folder);
    await replaceFile(join(folder, runFile), JSON.stringify({ run }));
  });
}

/** @throws DataError unless the folder is the one that the run's first worker sees */
async function requireFolder(
  folder: string,
  { id, terms }: RunRecord,
  address: ServerAddress,
): Promise<void> {
  const deadline = performance.now() + 10_000;
  do {
    if (String(await readOrEmpty(join(folder, runFile))).includes(id)) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  } while (performance.now() < deadline);
  throw new DataError(
    `${folder} is not the folder of the run ${address.shown}, which was begun with \`out: '${terms.out}'\`. All workers need ` +
      "one `out`, in a folder that they share.",
  );
}

/** Where a run stands after its last step. */
interface RunEnd {
  readonly state: DistillState;
  readonly curve: readonly CurvePoint[];
  readonly seconds: number;
}

/** One worker of a run. */
class JoinedWorker {
  readonly folder: RunFolder;
  readonly #request: JoinRequest;
  readonly #context: JobContext;
  readonly #record: RunRecord;
  readonly #base: Generation | undefined;
  readonly #server: RunServer;
  readonly #keeper: Keeper;
  readonly #session: WorkerSession;
  #log: FeatureLog | undefined;
  #images: JoinedImages | undefined;
  #whole: Promise<SyntheticParameters> | undefined;
  #batch = 1;

  constructor(
    request: JoinRequest,
    context: JobContext,
    connection: Connection,
    record: RunRecord,
    base: Generation | undefined,
  ) {
    const { address, checkpoints, leaseSeconds } = request;
    const leaseMilliseconds = 1000 * leaseSeconds;
    this.#request = request;
    this.#context = context;
    this.#record = record;
    this.#base = base;
    this.folder = new RunFolder(checkpoints, record.id);
    this.#server = new RunServer(connection, address, address.run, record.id, leaseMilliseconds);
    this.#keeper = new Keeper({ address, run: address.run, id: record.id, leaseMilliseconds });
    this.#session = new WorkerSession(this.#server, this.#keeper);
  }

  async open(workers: ShardWorkers): Promise<void> {
    const { address, identity, leaseSeconds, patienceSeconds, memoryBytes, places } = this.#request;
    const { config } = identity;
    const { count, shards: shardCount, cut } = this.#record.terms;
    const { featureSize, setup, plan } = workers;
    this.#batch = cut.batch;
    const shards = shareOut(count, cut.batch, 1);
    const views = viewCount(config);
    const { callBytes } = plan;
    const capacity =
      cut.activations === "save" ? Math.max(1, Math.floor(memoryBytes / (callBytes * views))) : shards.length;
    const lanes = await Lanes.open(workers, shardCount);
    const lengths = shards.map((shard) => views * shard.count * featureSize);
    const log = new FeatureLog(address, address.run, lengths, {
      purpose: "reading the features of other workers",
      patience: patienceSeconds,
    });
    this.#log = log;
    this.#images = new JoinedImages({
      ...{ server: this.#server, session: this.#session, folder: this.folder, log, lanes, shards },
      ...{ featureSize, views, capacity, leaseSeconds, patienceSeconds, checkpointSeconds },
      signal: this.#context.signal,
      levelCount: levelCount(config.parametrization, setup.size),
      steps: config.steps,
      base: this.#base,
      initial: (shard) => this.#initial(shards[shard], setup.size),
      mark: (step) => this.#mark(step),
    });
    await this.#session.begin();
    const processes = Math.min(workers.holders.length, shardCount);
    this.#context.note(
      `Run ${address.shown}: ${formatMany(count, "synthetic image")} of ${setup.size} px in ${formatMany(shardCount, "shard")} of ` +
        `${cut.batch}; this worker has ${processes === 1 ? "one process" : `${processes} processes`} and room for ` +
        `${capacity >= shardCount ? "all of them" : formatMany(capacity, "shard")}, ${places[0].runtime.device}.`,
    );
  }

  /** Takes part until the last step is done and saved. */
  async run(): Promise<RunEnd> {
    const { identity, places } = this.#request;
    const [place] = places;
    const { config } = identity;
    const images = this.#images!;
    const context = this.#told();
    const { parts, release } = await createStep({
      // As many threads as every other worker has: products are the same then.
      runtime: nodeRuntime({ threads: 1 }),
      config,
      classes: place.source.classes.length,
      real: places.map(({ train }) => train),
      images,
      choice: { signal: context.signal },
    });
    try {
      let tried = -1;
      for (;;) {
        const from = await this.#from();
        await this.#newer(from.state.step, tried);
        tried = from.state.step;
        try {
          return await this.#steps(from, parts, images, context);
        } catch (error) {
          if (!(error instanceof LogGap)) throw error;
        }
      }
    } finally {
      await release();
    }
  }

  /** Runs steps from `from` on; where it is interrupted, what this worker has is saved and left to others. */
  async #steps(
    from: RunEnd,
    parts: Awaited<ReturnType<typeof createStep<JoinedImages>>>["parts"],
    images: JoinedImages,
    context: JobContext,
  ): Promise<RunEnd> {
    const { state } = from;
    const curve = [...from.curve];
    const began = performance.now();
    const seconds = () => from.seconds + (performance.now() - began) / 1000;
    this.#session.say({ doing: "catching up", step: state.step }, false);
    await images.restart(state.step);
    let before = scalars(state);
    let at = performance.now();
    try {
      await runSteps({ parts, state }, context, async ({ step, loss, batchAccuracy }) => {
        curve.push({ step, loss, ...(batchAccuracy === undefined ? {} : { batchAccuracy }) });
        before = scalars(state);
        const stepSeconds = (performance.now() - at) / 1000;
        at = performance.now();
        const waitSeconds = images.takeWaited();
        const own = images.owned * this.#batch;
        this.#session.say({
          ...{ step, loss, shards: images.owned, stepSeconds, waitSeconds },
          imagesPerSecond: own === 0 ? null : own / Math.max(1e-3, stepSeconds - waitSeconds),
        });
        await images.afterStep(state, curve, seconds());
      });
      await images.completed(state, curve, seconds());
      return { state, curve, seconds: seconds() };
    } catch (error) {
      if (!(error instanceof InterruptedError)) throw error;
      Object.assign(state, { ...before, sampler: BatchSampler.from(before.sampler) });
      const others = this.#session.latest.workers - 1;
      await images.leave(state, curve, seconds());
      throw new InterruptedError(
        `Stopped after step ${state.step} of ${parts.config.steps}. What this worker has is saved; ` +
          (others > 0
            ? `${formatMany(others, "other worker")} continue${others === 1 ? "s" : ""} the run. The same command joins it again.`
            : "the same command resumes the run, with `resume: true` where the server has lost it."),
        { cause: error },
      );
    }
  }

  /** Waits for a checkpoint later than the one from which the log did not lead on. */
  async #newer(step: number, tried: number): Promise<void> {
    if (tried === -1) return;
    const deadline = performance.now() + 1000 * this.#request.patienceSeconds;
    while (step <= tried) {
      if (this.#session.isLost()) await this.#session.begin();
      await new Promise((resolve) => setTimeout(resolve, 500));
      const now = (await this.#from()).state.step;
      if (now > tried) return;
      if (performance.now() > deadline) {
        throw new ServerError(
          `The log of the run ${this.#request.address.shown} lacks features after step ${tried}, and no later checkpoint came ` +
            `for ${this.#request.patienceSeconds} s (patience). Stop all workers and start them again with \`resume: true\` and another name of the run.`,
        );
      }
    }
  }

  /** The latest checkpoint, or the start. */
  async #from(): Promise<RunEnd> {
    const { identity, places, checkpoints } = this.#request;
    const [place] = places;
    const marker = await readMarker(checkpoints);
    const own = marker?.run === this.#record.id ? marker : undefined;
    const generation = own ?? this.#base;
    if (generation) return this.folder.loadState(generation);
    const classes = place.source.classes.length;
    const { config } = identity;
    const [size] = place.encoder.preprocessing.crop;
    const first = await this.#initial(shareOut(this.#record.terms.count, this.#batch, 1)[0], size);
    return { state: initialState(config, classes, place.train.count, first), curve: [], seconds: 0 };
  }

  async #initial(
    { start, count }: { readonly start: number; readonly count: number },
    size: number,
  ): Promise<SyntheticParameters> {
    const { identity, places } = this.#request;
    const [place] = places;
    const { config } = identity;
    const { first } = this.#request;
    if (config.init === "noise" && first === undefined)
      return noiseParameters(config.parametrization, count, size, config.seed, start);
    this.#whole ??= first?.() ?? firstParameters(place, config, this.#record.terms.count, size);
    return partOf(await this.#whole, start, count);
  }

  async #mark(step: number): Promise<void> {
    const { identity, checkpoints } = this.#request;
    const { cut, shards } = this.#record.terms;
    const present = await readMarker(checkpoints);
    if (present?.run === this.#record.id && present.step >= step) return;
    await this.folder.mark({ identity, cut, shards, step });
  }

  /** Waits until this worker is to write the result, or another one has. */
  async writer(): Promise<"writer" | "finished"> {
    const { address } = this.#request;
    let noted = "";
    for (;;) {
      if (this.#session.isLost()) await this.#session.begin();
      const writer = await this.#server.writer().catch((error: unknown) => {
        if (error instanceof LeaseLost) return undefined;
        throw error;
      });
      if (writer === undefined) {
        await this.#session.begin();
        continue;
      }
      if (writer === "writer" || writer === "finished") {
        this.#session.say({ doing: "writing" });
        return writer;
      }
      this.#session.say({ doing: "waiting" });
      const name = workerName(writer);
      if (name !== noted) this.#context.note(`Run ${address.shown}: ${name} writes the result.`);
      noted = name;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }

  async finish(): Promise<void> {
    const { checkpoints } = this.#request;
    await this.#server.finish();
    await removeGenerations(checkpoints);
    await removeCheckpoint(checkpoints);
    await rmdir(checkpoints).catch(() => {});
  }

  /** What cannot be said any more ends with the lease. */
  async leaveQuietly(): Promise<void> {
    await this.#server.leave().catch(() => {});
  }

  async end(): Promise<void> {
    await this.#keeper.end();
    this.#log?.end();
    await this.#images?.release();
  }

  /** The progress of all workers, where this one's is shown. */
  #told(): JobContext {
    const { signal, note, progress } = this.#context;
    const { shards } = this.#record.terms;
    return {
      signal,
      note,
      progress: (shown) => {
        const { workers } = this.#session.latest;
        const all = `${formatMany(workers, "worker")}, ${this.#images?.owned ?? 0} of ${shards} shards here`;
        progress({ ...shown, detail: shown.detail === undefined ? all : `${shown.detail}, ${all}` });
      },
    };
  }
}

/** What a step changes of the state before it is sure to be done. */
const scalars = ({ levels, adamSteps, sampler }: DistillState) => ({
  levels,
  adamSteps,
  sampler: sampler.state,
});
