import { totalmem } from "node:os";
import type { CurvePoint } from "../artifact/manifest.ts";
import { outFolder, requireOutside, requireWritableOut } from "../artifact/out-folder.ts";
import { writeArtifact } from "../artifact/write-artifact.ts";
import type { JobContext } from "../context.ts";
import { listed } from "../data/image-source.ts";
import { dataFolder } from "../data/open-data-set.ts";
import {
  loadCheckpoint,
  lockCheckpoints,
  removeCheckpoint,
  requireNoCheckpoint,
  requireSameRun,
  saveCheckpoint,
  shareCheckpoints,
} from "../distill/checkpoint.ts";
import {
  type EarlierSet,
  type FormerLevel,
  openEarlierSet,
  parametersFromEarlier,
  startRecord,
} from "../distill/earlier-set.ts";
import { syntheticLabels } from "../distill/loop.ts";
import { type PreparedShards, prepareShards } from "../distill/open-images.ts";
import type { RunIdentity } from "../distill/run-state.ts";
import { runSteps, startSynthesis } from "../distill/synthesize.ts";
import { type Encoder, featureName } from "../encoder/encoder.ts";
import { DataError, InterruptedError, UsageError } from "../errors.ts";
import { testMirror } from "../evaluate/mirror.ts";
import { mirrorNote } from "../evaluate/mirror-test.ts";
import { openRunContext, type RunContext } from "../features/run-context.ts";
import { formatCount, formatMany, formatPercent } from "../format.ts";
import type { JoinedRun } from "../machines/join.ts";
import { loadGeneration, removeGenerations, requireNoGeneration } from "../machines/run-folder.ts";
import { stageCollector } from "../memory.ts";
import type { Objective } from "../objective/objective.ts";
import { objectives } from "../objective/objectives.ts";
import type { FeatureMap } from "../probe/feature-map.ts";
import { fitFeatureMaps } from "../probe/fit-feature-maps.ts";
import { matrix } from "../probe/matrix.ts";
import { DistillConfig, Method } from "../recipe/config.ts";
import { withPreset } from "../recipe/presets.ts";
import { describeRun, fingerprintsOf } from "./describe.ts";
import { inTurn, joinDistillation, summaryOf } from "./distill-joined.ts";
import { openOthers } from "./other-encoders.ts";
import type { DistillParams } from "./params.ts";
import { probeEncoders } from "./probed-encoders.ts";
import type { DistillSummary } from "./summary.ts";

/** Seconds between two checkpoints. */
const checkpointSeconds = 15;

/**
 * The main job: features of the real images, distillation, comparison, artifact. Interrupted, it leaves a
 * checkpoint beside `out` from which `resume` continues, bit for bit as if it had not been stopped. One run at a time
 * has an `out`, and a checkpoint that is there is only written over where `overwrite` says so.
 */
export async function runDistillation(params: DistillParams, context: JobContext): Promise<DistillSummary> {
  const config = parseConfig(withPreset(params.preset, params.config));
  if (params.from !== undefined && params.config.init !== undefined) {
    throw new UsageError(
      `With \`from\` classes start from the images of ${params.from}, and new ones from noise: leave \`init\` out.`,
    );
  }
  const out = await outFolder(params.out);
  await requireOutside(out, dataFolder(params.data));
  const checkpoints = `${out}.checkpoint`;
  if (params.join) {
    const share = await shareCheckpoints(checkpoints);
    try {
      return await distillTo(out, checkpoints, config, params, context);
    } finally {
      await share.release();
    }
  }
  const lock = await lockCheckpoints(checkpoints, context.note);
  try {
    await requireWritableOut(out, mayReplace(params));
    if (!mayReplace(params)) {
      requireNoCheckpoint(checkpoints);
      requireNoGeneration(checkpoints);
    }
    return await distillTo(out, checkpoints, config, params, context);
  } finally {
    await lock.release();
  }
}

const mayReplace = ({ overwrite, resume }: DistillParams): boolean => overwrite === true || resume === true;

async function distillTo(
  out: string,
  checkpoints: string,
  asked: DistillConfig,
  params: DistillParams,
  context: JobContext,
): Promise<DistillSummary> {
  const { stages, staged } = stageCollector();

  const memoryBytes = params.memoryBytes ?? totalmem() / 4;
  const cut = params.shardImages === undefined ? undefined : { batch: params.shardImages };

  const places: RunContext[] = [];
  let joined: JoinedRun | undefined;
  let prepared: Promise<PreparedShards> | undefined;
  // Graphs are derived and processes started while the features are read; how a run is cut that is taken up or shared with
  // other machines is known later.
  const alone = !params.join && !params.resume && !params.others?.length;
  const prepare = ({ runtime, encoder, source }: Pick<RunContext, "runtime" | "encoder" | "source">) => {
    if (!alone || runtime.device !== "cpu") return;
    const demand = { count: source.classes.length * asked.ipc, size: encoder.preprocessing.crop[0], cut };
    prepared = prepareShards(runtime, [encoder], asked, memoryBytes, demand);
    // Whoever awaits it hears of a failure.
    prepared.catch(() => {});
  };
  const open = async () => {
    for (const place of places.splice(0)) await place.release();
    const first = await openRunContext(params, context, {
      leastPerClass: asked.ipc,
      differentiates: true,
      opened: prepare,
    });
    places.push(first);
    places.push(...(await openOthers(params, first, context)));
    return first;
  };
  try {
    const place = await staged("features of the real images", () => inTurn(params.join, context, open));
    const { source, test } = place;
    const matters = asked.augment > 0 || (test !== undefined && params.edits !== false);
    const config = matters ? await withMirror(asked, place, context) : asked;
    const classes = source.classes.length;
    const earlier =
      params.from === undefined
        ? undefined
        : await openEarlierSet(params.from, source.classes, config, place.encoder);
    if (earlier !== undefined) context.note(startNote(earlier, params.from!));
    const fingerprints = await fingerprintsOf(place);
    const identity: RunIdentity = {
      config,
      ...identityOf(place.encoder),
      data: fingerprints.train,
      ...(earlier ? { from: earlier.sha256 } : {}),
      ...(places.length > 1 ? { others: places.slice(1).map((other) => identityOf(other.encoder)) } : {}),
    };

    const reload = async () => (await resumable(checkpoints, identity)).parameters;
    const first = earlier && (() => parametersFromEarlier(earlier, source.classes, config));
    if (params.join) {
      const run = { places, first, identity, memoryBytes, checkpoints, out };
      joined = await staged("steps of all workers", () =>
        joinDistillation(run, params, params.join!, context),
      );
      if (joined === undefined) return await summaryOf(out, stages);
    }
    const resumed =
      params.resume && !joined ? { ...(await resumable(checkpoints, identity)), reload } : undefined;
    const saved = joined?.saved ?? resumed;
    const curve: CurvePoint[] = [...(saved?.curve ?? [])];
    const start = { saved, others: places.slice(1), first, cut, prepared };
    const synthesis = await startSynthesis(place, config, memoryBytes, context, start);
    const { images } = synthesis.parts;
    try {
      let distillSeconds = saved?.seconds ?? 0;
      await staged("distillation", async () => {
        const began = performance.now();
        let lastSave = began;
        const save = () =>
          images.saved(async (parameters) => {
            const { state, cut } = synthesis;
            const seconds = distillSeconds + (performance.now() - began) / 1000;
            await saveCheckpoint(checkpoints, { identity, state, parameters, cut, curve, seconds });
            // What was resumed from workers of several machines is behind this now.
            await removeGenerations(checkpoints);
            return reload;
          });
        try {
          await runSteps(synthesis, context, async ({ step, loss, batchAccuracy }) => {
            curve.push({ step, loss, ...(batchAccuracy === undefined ? {} : { batchAccuracy }) });
            // After the last step always: should writing the artifact fail, nothing is to be computed again.
            if (performance.now() - lastSave < checkpointSeconds * 1000 && step < config.steps) return;
            await save();
            lastSave = performance.now();
          });
        } catch (error) {
          if (!(error instanceof InterruptedError)) throw error;
          await save();
          throw new InterruptedError(
            `${error.message} Saved. Resume with the same settings and \`resume: true\`.`,
            {
              cause: error,
            },
          );
        }
        distillSeconds += (performance.now() - began) / 1000;
      });

      const labels = matrix(classes * config.ipc, classes, Float64Array.from(synthesis.state.labels.values));
      const probed = await probeEncoders(synthesis, places, labels, params, staged, context);
      const [{ probe, calibration, evaluation }] = probed;

      const from = earlier && (await startRecord(earlier, curve));
      if (from?.former) context.note(formerNote(from.former, config.steps));
      const { levels } = await images.parameters();
      const manifest = await staged("artifact", () =>
        writeArtifact(
          out,
          {
            manifest: describeRun(place, {
              kind: "distilled",
              config,
              preset: params.preset,
              command: params.command,
              from,
              threads: params.threads,
              lambda: config.lambda,
              calibration,
              tau: Math.exp(synthesis.state.logTau.values[0]),
              stages,
              ...evaluation,
              others: probed.slice(1),
              seconds: distillSeconds,
              fingerprints,
            }),
            images: () => images.rendered(),
            labels: syntheticLabels(classes, config.ipc),
            softLabels: synthesis.state.labels.values,
            levels,
            probe: { ...probe, novelty: calibration.novelty },
            otherProbes: probed.slice(1).map((other) => ({
              ...other.probe,
              novelty: other.calibration.novelty,
            })),
            curve,
          },
          {
            // A worker may have ended right after it had written the result of the same run.
            overwrite: mayReplace(params) || joined !== undefined,
            goOn: "run it again with `resume: true`: the checkpoint is kept",
          },
        ),
      );
      await removeCheckpoint(checkpoints);
      if (joined) await joined.finish();
      else await removeGenerations(checkpoints);
      return {
        out,
        manifest: { ...manifest, stages },
        seconds: distillSeconds,
        peakMemoryBytes: manifest.peakMemoryBytes,
      };
    } finally {
      await synthesis.release();
    }
  } finally {
    await joined?.release();
    await prepared?.then(
      ({ release }) => release(),
      () => {},
    );
    for (const place of places) await place.release();
  }
}

/** What a run takes over from an earlier set. */
function startNote({ kept, added, removed }: EarlierSet, folder: string): string {
  return (
    `From ${folder}: the images of ${formatCount(kept.length)} of ${formatCount(kept.length + added.length)} classes; new, ` +
    `from noise: ${added.length > 0 ? listed(added) : "none"}; gone: ${removed.length > 0 ? listed(removed) : "none"}.`
  );
}

/** How many steps it took to be as good as the earlier set. */
function formerNote({ by, value, steps }: FormerLevel, all: number): string {
  const level = `${by} of ${by === "loss" ? value.toFixed(3) : formatPercent(value)}`;
  return steps === undefined
    ? `The ${level} that the earlier run ended with was not reached in ${formatMany(all, "step")}.`
    : `The ${level} that the earlier run ended with was reached after ${formatMany(steps, "step")}.`;
}

/** What a checkpoint knows an encoder by. */
const identityOf = (encoder: Encoder) => ({
  encoder: encoder.provenance.sha256,
  feature: featureName(encoder),
  preprocessing: encoder.preprocessing,
});

/** The configuration with whether mirrored images keep their class, which the real images show where nothing is said. */
export async function withMirror(
  config: DistillConfig,
  place: RunContext,
  context: JobContext,
): Promise<DistillConfig> {
  if (config.mirror !== undefined) return config;
  const [map] = (await fitFeatureMaps(config.normalize.slice(0, 1), place.train)) as [FeatureMap];
  const tested = await place.kept.value({ what: "mirror test", map: map.normalization }, () =>
    testMirror(place, map),
  );
  if (tested === undefined) return config;
  context.note(mirrorNote(tested));
  return { ...config, mirror: tested.keeps };
}

/** A configuration with its defaults filled in. Throws UsageError naming the wrong value, or one that does nothing. */
export function parseConfig(config: Partial<DistillConfig>): DistillConfig {
  const parsed = DistillConfig.safeParse(config);
  if (parsed.success) {
    requireLearns(parsed.data, "learnLabels", "labels");
    requireLearns(parsed.data, "learnTemperature", "temperature");
    return parsed.data;
  }
  const [issue] = parsed.error.issues;
  const path = issue!.path.join(".");
  const given = JSON.stringify(config[issue!.path[0] as keyof DistillConfig]);
  throw new UsageError(`The setting "${path}" cannot be ${given}: ${issue!.message}.`);
}

function requireLearns(
  config: DistillConfig,
  setting: "learnLabels" | "learnTemperature",
  what: keyof Objective["learns"],
): void {
  const { method } = config;
  if (!config[setting] || objectives[method].learns[what]) return;
  const others = Method.options.filter((name) => objectives[name].learns[what]);
  throw new UsageError(
    `The setting "${setting}" does nothing with the method ${method}, whose loss has no gradient for the ${what}. ` +
      `Leave it out, or choose another method: ${others.join(", ")}.`,
  );
}

async function resumable(folder: string, identity: RunIdentity) {
  // What several workers left can be finished by one.
  const saved = (await loadCheckpoint(folder)) ?? (await loadGeneration(folder));
  if (saved === undefined) {
    throw new DataError(
      `There is no checkpoint in ${folder}. Start without \`resume: true\`, or name the \`out\` of the stopped run.`,
    );
  }
  requireSameRun(saved.identity, identity, folder);
  return saved;
}
