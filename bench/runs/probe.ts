/**
 * The closed-form probe of cached features, streamed from disk, against scikit-learn's RidgeClassifier (all in
 * memory) and SGDClassifier (one pass, streamed) on the same made features: time, memory, accuracy.
 *
 *   node probe.js [--n 50000] [--d 768] [--classes 1000] [--peer-seconds 600]
 *
 * Ends with one line of JSON: `ProbeBench`.
 */
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { messageOf } from "../../src/errors.ts";
import { measureStage } from "../../src/memory.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { chooseGemm, jsGemm } from "../../src/probe/gemm.ts";
import { type Matrix, matrix } from "../../src/probe/matrix.ts";
import { ortGemm } from "../../src/probe/ort-gemm.ts";
import { RidgeAccumulator } from "../../src/probe/ridge-accumulator.ts";
import { seededRandom } from "../../src/random.ts";
import { Peer, peerPython } from "../lib/peer.ts";

export interface ProbeSide {
  readonly name: string;
  readonly seconds: number;
  readonly peakMemoryBytes: number;
  /** Share of held-out rows that are classified correctly. */
  readonly top1: number;
  /** Rows it has learned from: fewer than all where its time or memory was up. */
  readonly rows: number;
  readonly stopped?: "time" | "memory" | null;
}

export interface ProbeBench {
  readonly n: number;
  readonly d: number;
  readonly classes: number;
  readonly notes: readonly string[];
  readonly sides: readonly ProbeSide[];
}

const { values: options } = parseArgs({
  options: {
    n: { type: "string", default: "50000" },
    d: { type: "string", default: "768" },
    classes: { type: "string", default: "1000" },
    threads: { type: "string", default: "2" },
    "peer-seconds": { type: "string", default: "600" },
  },
});
const [n, d, classes] = [Number(options.n), Number(options.d), Number(options.classes)];
const threads = Number(options.threads);
const heldOut = Math.min(10_000, n);
const rowsAtOnce = 4096;
const lambda = 0.01;
const folder = await mkdtemp(join(tmpdir(), "clp-dd-probe-"));
const notes: string[] = [];
const sides: ProbeSide[] = [];
try {
  const train = join(folder, "train.f32");
  const test = join(folder, "test.f32");
  const labels = await makeFeatures(train, n, "train");
  const testLabels = await makeFeatures(test, heldOut, "test");
  const gemm = chooseGemm(jsGemm, ortGemm(nodeRuntime({ threads })));
  let shift = 0;
  const { result: weight, stage } = await measureStage("fit", async () => {
    const sums = new RidgeAccumulator(d, classes, gemm);
    for await (const { rows, start, count } of readRows(train, n)) {
      await sums.add(rows, labels.subarray(start, start + count));
    }
    const [probe] = await sums.solve([lambda]);
    shift = probe!.shift;
    return probe!.weight;
  });
  let right = 0;
  for await (const { rows, start, count } of readRows(test, heldOut)) {
    const scores = await gemm.multiply(matrix(count, d, Float64Array.from(rows)), weight);
    for (let i = 0; i < count; i++) if (largest(scores, i) === testLabels[start + i]) right++;
  }
  sides.push({
    name: "closed form, streamed, here",
    seconds: stage.seconds,
    peakMemoryBytes: stage.peakMemoryBytes,
    top1: right / heldOut,
    rows: n,
  });
  if (peerPython() === undefined) notes.push("the peers are not installed (bench/peers/setup)");
  else {
    for (const [call, name] of [
      ["ridge", "RidgeClassifier, in memory"],
      ["sgd", "SGDClassifier, one pass, streamed"],
    ] as const) {
      // A process each: the peak of one is not to be the other's.
      const peer = Peer.python("probe.py");
      try {
        await peer.ask("load", { folder, d, classes, threads });
        const limits = { rows: rowsAtOnce, seconds: Number(options["peer-seconds"]) };
        sides.push({ name, ...(await peer.ask<Omit<ProbeSide, "name">>(call, { shift, ...limits })) });
      } catch (error) {
        notes.push(`${name} was not run: ${messageOf(error)}`);
      } finally {
        await peer.end();
      }
    }
  }
  const result: ProbeBench = { n, d, classes, notes, sides };
  console.log(JSON.stringify(result));
} finally {
  await rm(folder, { recursive: true, force: true });
}

/** Rows of class mean plus noise, float32, and their labels in a file of int32 beside them. */
async function makeFeatures(path: string, count: number, split: string): Promise<Int32Array> {
  const means = Float32Array.from({ length: classes * d }, normals("means", 0.15));
  const random = seededRandom(0, split);
  // Noise comes from a pool at random places: drawing a billion normal numbers would take most of the time.
  const pool = Float32Array.from({ length: 2 ** 20 }, normals("noise", 1));
  const labels = Int32Array.from({ length: count }, () => random.below(classes));
  const file = await open(path, "w");
  for (let start = 0; start < count; start += rowsAtOnce) {
    const size = Math.min(rowsAtOnce, count - start);
    const rows = new Float32Array(size * d);
    for (let i = 0; i < size; i++) {
      const mean = labels[start + i] * d;
      const at = random.below(pool.length - d);
      for (let k = 0; k < d; k++) rows[i * d + k] = means[mean + k] + pool[at + k];
    }
    await file.write(new Uint8Array(rows.buffer));
  }
  await file.close();
  const beside = await open(`${path}.labels`, "w");
  await beside.write(new Uint8Array(labels.buffer));
  await beside.close();
  return labels;
}

function normals(purpose: string, deviation: number): () => number {
  const random = seededRandom(0, purpose);
  return () => deviation * random.normal();
}

async function* readRows(path: string, count: number) {
  const file = await open(path, "r");
  const buffer = new Float32Array(rowsAtOnce * d);
  for (let start = 0; start < count; start += rowsAtOnce) {
    const size = Math.min(rowsAtOnce, count - start);
    await file.read(new Uint8Array(buffer.buffer), 0, size * d * 4, start * d * 4);
    yield { rows: buffer.subarray(0, size * d), start, count: size };
  }
  await file.close();
}

function largest(scores: Matrix, row: number): number {
  const at = row * scores.cols;
  let best = 0;
  for (let c = 1; c < scores.cols; c++) if (scores.data[at + c] > scores.data[at + best]) best = c;
  return best;
}
