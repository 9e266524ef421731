import { totalmem } from "node:os";
import type { Encoder } from "../encoder/encoder.ts";
import { imagesACall } from "../encoder/images-per-call.ts";
import type { RunContext } from "../features/run-context.ts";
import { temporaryFolder } from "../files/temporary.ts";
import { localHelper } from "../helpers/local.ts";
import { HelperPool } from "../helpers/pool.ts";
import { startHelper } from "../helpers/process.ts";
import { nodeRuntime } from "../onnx-vjp/runtime/node.ts";
import { storeForward } from "../onnx-vjp/runtime/stored.ts";
import { chooseGemm, type Gemm, jsGemm } from "../probe/gemm.ts";
import { ortGemm } from "../probe/ort-gemm.ts";
import type { LabeledFeatures } from "../probe/rows.ts";
import { type TunedHead, tunedLearningRates } from "../probe/trained-head.ts";
import { createFeatureAugmenter, type EncodeDraws, type FeatureAugmenter } from "./augmented-features.ts";
import {
  type EncodeImages,
  type EvaluationSetup,
  type EvaluationTask,
  evaluationEnd,
  evaluationService,
  imagesOf,
  inputOf,
} from "./evaluation-service.ts";
import { pooled, type TrainElsewhere } from "./train-heads.ts";

/** Images of one task: enough that sending them takes little of the time, few enough that all processes have some. */
const taskImages = 32;
/** Draws of images in one task. */
const taskDraws = 64;
/** What a process takes beside its task: Node, ONNX Runtime and code. */
const helperBytes = 80 * 2 ** 20;

/** Does the independent parts of an evaluation, side by side where there are several processes. */
export interface EvaluationCrew {
  readonly processes: number;
  /** Products with one thread: their bits do not depend on the number of threads. */
  readonly gemm: Gemm;
  /**
   * Features, n × d, of images after an edit, or as they are.
   * @param images n × 3 × size × size in [0, 1]
   */
  features(images: Float32Array, size: number, edit?: string): Promise<Float32Array>;
  /** @throws UsageError for an encoder whose input is not square */
  augmenter(): Promise<FeatureAugmenter>;
  readonly trainElsewhere: TrainElsewhere;
  end(): Promise<void>;
}

interface CrewOptions {
  /** What learning rates are chosen on. */
  readonly validation: LabeledFeatures;
  /** For all processes together (default: a quarter of the machine's memory). */
  readonly memoryBytes: number | undefined;
  /** Ends all work. */
  readonly signal: AbortSignal;
}

/**
 * Opens what an evaluation under one encoder shares out: on the CPU, images that are edited, augmented and encoded, and
 * everywhere the training of heads, by processes with one thread each, as many as the runtime has threads and memory has
 * room for. A task's numbers do not depend on who does it. On a device, its encoder stays in this process.
 */
export async function openEvaluationCrew(
  { encoder, runtime, source }: Pick<RunContext, "encoder" | "runtime" | "source">,
  { validation, memoryBytes = totalmem() / 4, signal }: CrewOptions,
): Promise<EvaluationCrew> {
  const folder = await temporaryFolder("evaluation");
  const large = ortGemm(nodeRuntime({ threads: 1 }));
  try {
    const shown = await pooled(validation);
    const batch = encoder.fixedBatch ?? imagesACall({ device: "cpu", threads: 1 }, encoder.bytesPerImage);
    const setup: EvaluationSetup = {
      kind: "start",
      encoder: encoder.threads === undefined ? undefined : await stored(encoder, folder.path, batch),
      validation: shown,
    };
    // Of heads that stand side by side: the weight, Adam's two moments and the gradient, in double.
    const heads = 32 * encoder.featureSize * source.classes.length * (tunedLearningRates.length + 1);
    const encoding = setup.encoder ? batch * encoder.bytesPerImage : 0;
    const each = helperBytes + shown.features.byteLength + Math.max(heads, encoding);
    const processes = Math.max(1, Math.min(runtime.threads, Math.floor(memoryBytes / each)));
    const here = () => localHelper(evaluationService(signal), evaluationEnd);
    const make = processes === 1 ? here : startHelper;
    const pool = new HelperPool<EvaluationSetup, EvaluationTask, unknown>(
      ...([make, processes, "evaluation", setup] as const),
    );
    const run = inOrder(processes, (task: EvaluationTask) => pool.run(task));
    const stop = () => void pool.end();
    if (processes > 1) signal.addEventListener("abort", stop);
    const draws = setup.encoder ? (encodeDraws(run, encoder.featureSize) satisfies EncodeDraws) : undefined;
    // The same on a device.
    const { crop, interpolation } = encoder.preprocessing;
    const encodedHere = async (images: Float32Array, size: number, edit: string | undefined) => {
      const task: EncodeImages = { kind: "encode", images, size, start: 0, edit };
      return encoder.features(await inputOf(task, crop, interpolation), imagesOf(task));
    };
    return {
      processes,
      gemm: chooseGemm(jsGemm, large),
      features: (images, size, edit) =>
        setup.encoder ? encoded(run, encoder, images, size, edit) : encodedHere(images, size, edit),
      augmenter: () => createFeatureAugmenter(runtime, encoder, draws),
      trainElsewhere: (training, own, given) =>
        run({ kind: "heads", training, validation: own, given }) as Promise<readonly TunedHead[]>,
      async end() {
        signal.removeEventListener("abort", stop);
        await pool.end();
        await large.release();
        await folder.remove();
      },
    };
  } catch (error) {
    await large.release();
    await folder.remove();
    throw error;
  }
}

type Run = (task: EvaluationTask) => Promise<unknown>;

/** Writes the encoder's graph down, and what runs it must know. */
async function stored(encoder: Encoder, folder: string, batch: number): Promise<EvaluationSetup["encoder"]> {
  const { preprocessing, featureSize, provenance } = encoder;
  const { crop, interpolation } = preprocessing;
  await storeForward(folder, await encoder.forwardGraph(batch));
  return { folder, shape: { batch, crop, featureSize, id: provenance.id }, interpolation };
}

/** At most `most` at once, in the order in which they are asked for: long tasks and short ones do not pile up at one process. */
function inOrder<Task, Reply>(most: number, run: (task: Task) => Promise<Reply>) {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async (task: Task): Promise<Reply> => {
    if (running === most) await new Promise<void>((resolve) => waiting.push(resolve));
    else running++;
    try {
      return await run(task);
    } finally {
      // Whoever waits takes the place over.
      const next = waiting.shift();
      if (next) next();
      else running--;
    }
  };
}

async function encoded(
  run: Run,
  { featureSize }: Encoder,
  images: Float32Array,
  size: number,
  edit: string | undefined,
): Promise<Float32Array> {
  const pixels = 3 * size * size;
  const count = images.length / pixels;
  const features = new Float32Array(count * featureSize);
  const starts = Array.from({ length: Math.ceil(count / taskImages) }, (_, i) => i * taskImages);
  await Promise.all(
    starts.map(async (start) => {
      const part = images.subarray(start * pixels, (start + taskImages) * pixels);
      const rows = await run({ kind: "encode", images: part, size, start, edit });
      features.set(rows as Float32Array, start * featureSize);
    }),
  );
  return features;
}

/** Draws in ranges that do not depend on the number of processes: several whole draws, or a part of one. */
function encodeDraws(run: Run, featureSize: number): EncodeDraws {
  return async (images, m, seed, first, count) => {
    const pixels = images.length / m;
    const features = new Float32Array(count * m * featureSize);
    const ranges: { readonly from: number; readonly to: number }[] = [];
    const whole = Math.floor(taskDraws / m) * m;
    if (whole > 0) {
      for (let from = 0; from < count * m; from += whole)
        ranges.push({ from, to: Math.min(from + whole, count * m) });
    } else {
      for (let draw = 0; draw < count; draw++)
        for (let at = 0; at < m; at += taskDraws)
          ranges.push({ from: draw * m + at, to: draw * m + Math.min(at + taskDraws, m) });
    }
    await Promise.all(
      ranges.map(async ({ from, to }) => {
        const image = from % m;
        const own = whole > 0 ? images : images.subarray(image * pixels, (image + to - from) * pixels);
        const rows = await run({ kind: "draws", images: own, m, seed, first, from, to });
        features.set(rows as Float32Array, from * featureSize);
      }),
    );
    return features;
  };
}
