import { createHash } from "node:crypto";
import type { CurvePoint } from "../artifact/manifest.ts";
import type { DistillState } from "../distill/state.ts";
import type { StepImages } from "../distill/synthetic-images.ts";
import { InterruptedError } from "../errors.ts";
import { BatchSampler } from "../features/batch-sampler.ts";
import { HelperLost } from "../helpers/helper-lost.ts";
import type { SyntheticParameters } from "../synthetic/parameters.ts";
import type { FeatureLog } from "./feature-log.ts";
import type { Lanes } from "./lanes.ts";
import { Patience } from "./patience.ts";
import { Publisher } from "./publisher.ts";
import type { Generation, RunFolder } from "./run-folder.ts";
import { LeaseLost, type RunServer } from "./run-server.ts";
import type { WorkerSession } from "./worker-session.ts";

/** The log no longer has what this worker lacks: it must start anew from the latest checkpoint. */
export class LogGap extends Error {
  override name = "LogGap";
}

/** What the images of a run of many workers are computed with. */
export interface JoinedParts {
  readonly server: RunServer;
  readonly session: WorkerSession;
  readonly log: FeatureLog;
  readonly lanes: Lanes;
  readonly folder: RunFolder;
  /** First image and number of images of each shard. */
  readonly shards: readonly { readonly start: number; readonly count: number }[];
  readonly featureSize: number;
  readonly views: number;
  readonly levelCount: number;
  readonly steps: number;
  /** Shards that this worker has memory for. */
  readonly capacity: number;
  /** Seconds without any news after which waiting ends. */
  readonly patienceSeconds: number;
  /** Seconds of a lease. */
  readonly leaseSeconds: number;
  /** Seconds between two checkpoints. */
  readonly checkpointSeconds: number;
  readonly signal: AbortSignal;
  /** The checkpoint that the run resumes. */
  readonly base: Generation | undefined;
  /** A shard as it is at step 0. */
  initial(shard: number): Promise<SyntheticParameters>;
  /** Writes the marker of a generation. */
  mark(step: number): Promise<void>;
}

/** What was done to all images in one step: enough to repeat it for any shard. */
interface Done {
  readonly levels: number;
  readonly learningRate: number;
  /** views · m × d. */
  readonly cotangents: Float32Array;
  /** Whether all shards are saved after it. */
  readonly due: boolean;
}

/** Features that this worker has added to the log. */
interface Published {
  readonly step: number;
  readonly levels: number;
  readonly shard: number;
  readonly due: boolean;
  readonly features: Float32Array;
}

/** Milliseconds between two tries to take shards that nobody has. */
const claimMilliseconds = 500;
/** Bytes of what was done since the latest checkpoint, from which on another one is due. */
const mostHistory = 2 ** 28;
const stateOwner = 0;

/**
 * The images of a run of which this worker has some shards, and others the rest. All workers add the features of
 * their shards to the log, and wait until it has those of all. A shard without an owner is taken by whoever waits for
 * it: from its latest checkpoint it is brought up to date by what was done since, which every worker knows.
 */
export class JoinedImages implements StepImages {
  readonly count: number;
  readonly featureSize: number;
  readonly levelCount: number;
  readonly #parts: JoinedParts;
  readonly #publisher: Publisher;
  readonly #owned = new Set<number>();
  #history = new Map<number, Done>();
  #historyBytes = 0;
  #step = 0;
  #levels = 0;
  /** What the step before came to, by its number. */
  #digest: { readonly step: number; readonly hex: string } | undefined;
  /** This worker's features of the latest two steps, should the server lose them. */
  #published: Published[] = [];
  #restarts = 0;
  #saving: Promise<void> = Promise.resolve();
  #savesUnderWay = 0;
  #saveSeconds = 0;
  #lastDue = performance.now();
  #failure: { readonly error: unknown } | undefined;
  #updates: Promise<unknown> = Promise.resolve();
  #waited = 0;

  constructor(parts: JoinedParts) {
    const { shards, featureSize, levelCount } = parts;
    this.count = shards.reduce((sum, { count }) => sum + count, 0);
    this.featureSize = featureSize;
    this.levelCount = levelCount;
    this.#parts = parts;
    this.#publisher = new Publisher(parts.server);
  }

  /** Shards that this worker has. */
  get owned(): number {
    return this.#owned.size;
  }

  /** Seconds spent waiting for others since this was last asked. */
  takeWaited(): number {
    const waited = this.#waited;
    this.#waited = 0;
    return waited;
  }

  /** Begins anew at a step, with no shards: what was done before is not known. */
  async restart(step: number): Promise<void> {
    await this.#loseAll();
    this.#history = new Map();
    this.#historyBytes = 0;
    this.#digest = undefined;
    this.#published = [];
    this.#step = step;
    this.#parts.log.reread(step);
    await this.#parts.log.upToDate();
  }

  async features(step: number, levels: number): Promise<Float32Array> {
    this.#step = step;
    this.#levels = levels;
    this.#requireWhole();
    const { log, session } = this.#parts;
    const known = log.complete(step, levels);
    if (known && this.#owned.size === 0) return this.#whole(known.features);
    if (known) await this.#loseAll();
    session.say({ doing: "distilling" }, true);
    const patience = new Patience(this.#parts, () => this.#missing());
    let claimedAt = Number.NEGATIVE_INFINITY;
    for (;;) {
      try {
        if (session.isLost()) await this.#loseAll();
        if (log.restarts !== this.#restarts) await this.#publishAgain();
        if (await this.#compute()) patience.renew();
        const complete = log.complete(step, levels);
        if (this.#parts.signal.aborted && !complete)
          throw new InterruptedError(`Stopped after step ${step} of ${this.#parts.steps}.`);
        if (complete) return this.#whole(complete.features);
        const began = performance.now();
        if (began - claimedAt > claimMilliseconds) {
          claimedAt = began;
          if (await this.#claim(this.#missing())) continue;
        }
        await log.changed(claimMilliseconds / 2);
        this.#waited += (performance.now() - began) / 1000;
        const silent = await patience.check(step);
        if (session.latest.generation > step && silent > 2)
          throw new LogGap(`others are beyond step ${step}`);
        if (log.latestStep > step && silent > 2 * this.#parts.leaseSeconds)
          throw new LogGap(`the log lacks features of step ${step}`);
      } catch (error) {
        if (error instanceof LeaseLost) await this.#loseAll();
        else if (!(error instanceof HelperLost)) throw error;
      }
    }
  }

  update(cotangents: Float32Array, learningRate: number): void {
    const { log, steps, lanes } = this.#parts;
    const step = this.#step;
    const due = (log.complete(step, this.#levels)?.due ?? false) || step + 1 === steps;
    this.#history.set(step, { levels: this.#levels, learningRate, cotangents, due });
    this.#historyBytes += cotangents.byteLength;
    this.#updates = Promise.all(
      lanes.shards.map((shard) =>
        lanes.update(shard, this.#partOf(cotangents, shard), learningRate).then(
          () => this.#parts.session.progress(),
          (error: unknown) => {
            // What a lost process had is brought up to date again in the next step.
            if (!(error instanceof HelperLost)) this.#failure ??= { error };
          },
        ),
      ),
    );
  }

  /**
   * What follows a step: checkpoints where they are due, and shards given up to workers that have fewer.
   * @param state after it
   */
  async afterStep(state: DistillState, curve: readonly CurvePoint[], seconds: number): Promise<void> {
    const { log, session, shards } = this.#parts;
    const step = state.step - 1;
    const { due, cotangents } = this.#history.get(step)!;
    this.#digest = { step, hex: digestOf(cotangents, state) };
    log.forget(state.step);
    const { generation, ready } = session.latest;
    for (const [old, { cotangents: values }] of this.#history) {
      if (old >= generation) break;
      this.#history.delete(old);
      this.#historyBytes -= values.byteLength;
    }
    this.#published = this.#published.filter((one) => one.step >= step);
    if (due) {
      this.#lastDue = performance.now();
      if (this.#owned.has(stateOwner)) this.#saveState(state, curve, seconds);
      for (const shard of this.#owned) this.#saveShard(shard, state.step, true);
    }
    const surplus = [...this.#owned].slice(Math.ceil(shards.length / Math.max(1, ready)));
    if (surplus.length > 0 && state.step < this.#parts.steps) await this.#handOver(surplus, state.step);
  }

  /** Waits until the checkpoint after the last step is whole, and does what others have left undone. */
  async completed(state: DistillState, curve: readonly CurvePoint[], seconds: number): Promise<void> {
    const { server, session, folder, shards, steps, log } = this.#parts;
    const patience = new Patience(this.#parts, () => []);
    for (;;) {
      try {
        await this.#saving;
        this.#requireWhole();
        if (session.isLost()) await this.#loseAll();
        const unsaved: number[] = [];
        for (let shard = 0; shard < shards.length; shard++)
          if ((await folder.latest(shard, steps))?.step !== steps) unsaved.push(shard);
        const own = [...this.#owned].filter((shard) => !unsaved.includes(shard));
        const saved = await server.saved(steps, own);
        if (saved === shards.length + 1) await this.#commit(steps);
        if (saved === shards.length + 1 || saved === -1) return;
        // Shards of workers that ended without having saved them; their files are there where only the count is lost.
        if (await this.#claim([...shards.keys()], true)) patience.renew();
        for (const shard of this.#owned) {
          if (!this.#parts.lanes.shards.includes(shard)) await this.#take(shard, steps);
          else if (unsaved.includes(shard)) this.#saveShard(shard, steps, true);
        }
        if (this.#owned.has(stateOwner)) this.#saveState(state, curve, seconds);
        await log.changed(claimMilliseconds / 2);
        await patience.check(steps);
      } catch (error) {
        if (error instanceof LeaseLost) await this.#loseAll();
        else if (!(error instanceof HelperLost)) throw error;
      }
    }
  }

  /** Saves what this worker has and gives it to others; all of the run, where it has all. */
  async leave(state: DistillState, curve: readonly CurvePoint[], seconds: number): Promise<void> {
    const { server, session, shards } = this.#parts;
    try {
      await this.#saving;
      if (this.#failure === undefined && !session.isLost()) {
        if (this.#owned.size === shards.length) this.#saveState(state, curve, seconds);
        for (const shard of this.#owned)
          this.#saveShard(shard, state.step, this.#owned.size === shards.length);
        await this.#saving;
      }
      await server.leave();
    } catch (error) {
      if (!(error instanceof LeaseLost || error instanceof HelperLost)) throw error;
    }
  }

  async release(): Promise<void> {
    await this.#saving;
    await this.#parts.lanes.end();
  }

  #requireWhole(): void {
    if (this.#failure) throw this.#failure.error;
  }

  #missing(): number[] {
    const { log, shards } = this.#parts;
    return [...shards.keys()].filter((shard) => !log.has(this.#step, this.#levels, shard));
  }

  /** Features of all images from those of the shards. */
  #whole(features: ReadonlyMap<number, Float32Array>): Float32Array {
    const { shards, views, featureSize: d } = this.#parts;
    const length = this.count * d;
    const whole = new Float32Array(views * length);
    for (const [shard, { start, count }] of shards.entries()) {
      const own = features.get(shard)!;
      for (let view = 0; view < views; view++)
        whole.set(own.subarray(view * count * d, (view + 1) * count * d), view * length + start * d);
    }
    return whole;
  }

  /** A shard's rows, views · n × d. */
  #partOf(whole: Float32Array, shard: number): Float32Array {
    const { shards, views, featureSize: d } = this.#parts;
    const { start, count } = shards[shard];
    const part = new Float32Array(views * count * d);
    for (let view = 0; view < views; view++) {
      const at = (view * this.count + start) * d;
      part.set(whole.subarray(at, at + count * d), view * count * d);
    }
    return part;
  }

  /** Computes and publishes what the log lacks of this worker's shards; whether there was anything. */
  async #compute(): Promise<boolean> {
    const { lanes, log, session } = this.#parts;
    const [step, levels] = [this.#step, this.#levels];
    for (const shard of this.#owned) if (!lanes.shards.includes(shard)) await this.#take(shard, step);
    const lacking = [...this.#owned].filter((shard) => !log.has(step, levels, shard));
    const published: Promise<void>[] = [];
    await Promise.all(
      lanes.byProcess(lacking).map(async (own) => {
        for (const shard of own) {
          if (session.isLost()) throw new LeaseLost("the lease has ended");
          const features = await lanes.features(shard, step, levels);
          session.progress();
          published.push(this.#publish({ step, levels, shard, due: this.#isDue(shard), features }));
          // The next one is computed meanwhile; what goes wrong is thrown below.
          published.at(-1)?.catch(() => {});
        }
      }),
    );
    await Promise.all(published);
    return lacking.length > 0;
  }

  async #publish(one: Published, again = false): Promise<void> {
    const { step, levels, shard, due, features } = one;
    const digest = this.#digest?.step === step - 1 ? this.#digest.hex : undefined;
    await this.#publisher.publish({ ...one, digest });
    if (again) return;
    this.#published.push(one);
    this.#parts.log.add(step, levels, shard, features, due);
  }

  /** Publishes the latest features again to a server that may have lost them. */
  async #publishAgain(): Promise<void> {
    this.#restarts = this.#parts.log.restarts;
    const own = this.#published.filter(({ shard }) => this.#owned.has(shard));
    await Promise.all(own.map((one) => this.#publish(one, true)));
  }

  /** Whether all shards are to be saved after this step: the owner of the first says so, in the log. */
  #isDue(shard: number): boolean {
    if (shard !== stateOwner || this.#savesUnderWay > 0) return false;
    const { checkpointSeconds } = this.#parts;
    const seconds = (performance.now() - this.#lastDue) / 1000;
    return seconds > Math.max(checkpointSeconds, 20 * this.#saveSeconds) || this.#historyBytes > mostHistory;
  }

  /** Takes shards that nobody has, up to a fair share at first; whether it got any. */
  async #claim(candidates: readonly number[], all = false): Promise<boolean> {
    const { server, session, shards, capacity } = this.#parts;
    const wanted = candidates.filter((shard) => !this.#owned.has(shard));
    const fair = all ? shards.length : Math.ceil(shards.length / Math.max(1, session.latest.ready));
    const most = Math.min(fair, capacity) - this.#owned.size;
    if (wanted.length === 0 || most <= 0) return false;
    const taken = await server.claim(most, wanted);
    for (const shard of taken) this.#owned.add(shard);
    session.say({ shards: this.#owned.size });
    return taken.length > 0;
  }

  /** Takes a shard in as it is before `step`: from its latest checkpoint, and what was done since. */
  async #take(shard: number, step: number): Promise<void> {
    const { folder, lanes, base, session } = this.#parts;
    const saved = (await folder.latest(shard, step)) ?? base;
    const from = saved?.step ?? 0;
    for (let past = from; past < step; past++)
      if (!this.#history.has(past)) throw new LogGap(`what was done in step ${past} is not known`);
    const parameters = saved ? await folder.loadShard(shard, saved) : await this.#parts.initial(shard);
    await lanes.hold(shard, parameters);
    for (let past = from; past < step; past++) {
      const { levels, cotangents, learningRate, due } = this.#history.get(past)!;
      await lanes.features(shard, past, levels);
      await lanes.update(shard, this.#partOf(cotangents, shard), learningRate);
      session.progress();
      if (due) this.#saveShard(shard, past + 1, true);
    }
  }

  /** Gives shards up, saved as they are before `step`, so that whoever takes them need not repeat anything. */
  async #handOver(surplus: readonly number[], step: number): Promise<void> {
    const { lanes, server, session } = this.#parts;
    for (const shard of surplus) this.#saveShard(shard, step, false);
    await this.#saving;
    this.#requireWhole();
    try {
      await server.release(surplus);
    } catch (error) {
      if (!(error instanceof LeaseLost)) throw error;
    }
    for (const shard of surplus) {
      this.#owned.delete(shard);
      if (lanes.shards.includes(shard)) await lanes.drop(shard).catch(ignoreLoss);
    }
    session.say({ shards: this.#owned.size });
  }

  /** Begins a new session without any shards. */
  async #loseAll(): Promise<void> {
    const { lanes, session } = this.#parts;
    await this.#updates;
    this.#owned.clear();
    for (const shard of lanes.shards) await lanes.drop(shard).catch(ignoreLoss);
    await session.begin();
  }

  /** Saves a shard as it is now, in the background. @param counts whether it is part of a generation */
  #saveShard(shard: number, step: number, counts: boolean): void {
    const { lanes, folder, server } = this.#parts;
    // Asked for now: the shard's process answers before it begins another step.
    const parameters = lanes.parameters(shard);
    parameters.catch(() => {});
    this.#save(async () => {
      await folder.saveShard(shard, step, await parameters, () => server.owns([shard]));
      if (counts) await this.#count(step, shard);
    });
  }

  #saveState(state: DistillState, curve: readonly CurvePoint[], seconds: number): void {
    const { folder, server } = this.#parts;
    const { step } = state;
    const copy = { state: copyOf(state), curve: [...curve], seconds };
    this.#save(async () => {
      await folder.saveState(copy, () => server.owns([stateOwner]));
      await this.#count(step, "state");
    });
  }

  #save(work: () => Promise<void>): void {
    this.#savesUnderWay++;
    const began = performance.now();
    this.#saving = this.#saving.then(work).then(
      () => {
        this.#savesUnderWay--;
        this.#saveSeconds = (performance.now() - began) / 1000;
      },
      (error: unknown) => {
        this.#savesUnderWay--;
        // Its new owner saves it.
        if (!(error instanceof LeaseLost || error instanceof HelperLost)) this.#failure ??= { error };
      },
    );
  }

  /** Notes that a part of a generation is saved; whoever completes it marks it as whole. */
  async #count(step: number, part: number | "state"): Promise<void> {
    const { server, shards } = this.#parts;
    if ((await server.saved(step, [part])) === shards.length + 1) await this.#commit(step);
  }

  async #commit(step: number): Promise<void> {
    const { server, folder, log, session, base } = this.#parts;
    const before = session.latest.generation;
    if (!(await server.owns([]))) return;
    await this.#parts.mark(step);
    // What a worker needs that has just begun from the one before stays.
    await server.commit(step, log.firstId(before), before);
    log.forgetIds(before);
    await folder.clean(Math.min(before, step), base);
  }
}

const ignoreLoss = (error: unknown): void => {
  if (!(error instanceof HelperLost)) throw error;
};

const copyOf = (state: DistillState): DistillState => ({
  ...structuredClone({ ...state, sampler: undefined }),
  sampler: BatchSampler.from(state.sampler.state),
});

/** What a step came to, whoever computed it. */
function digestOf(cotangents: Float32Array, { labels, logTau, targets }: DistillState): string {
  const hash = createHash("sha1");
  for (const values of [cotangents, labels.values, logTau.values, targets ?? new Float32Array(0)])
    hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  return hash.digest("hex");
}
