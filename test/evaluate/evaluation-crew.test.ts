import { describe, expect, it } from "vitest";
import { createEncoder } from "../../src/encoder/encoder.ts";
import { type EvaluationCrew, openEvaluationCrew } from "../../src/evaluate/evaluation-crew.ts";
import { helperProcesses } from "../../src/helpers/process.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { featuresInMemory } from "../../src/probe/rows.ts";
import { seededRandom } from "../../src/random.ts";
import { smallEncoder, smallFeatures, smallGraph, smallSide } from "../support/small-encoder.ts";

const classes = 3;
const random = seededRandom(0, "crew");
const numbers = (length: number) => Float32Array.from({ length }, () => random.uniform());
const cyclic = (length: number) => Int32Array.from({ length }, (_, i) => i % classes);
const validation = featuresInMemory(numbers(30 * smallFeatures), cyclic(30));
/** More images than one task takes, of another size than the encoder's. */
const images = numbers(70 * 3 * 12 * 12);

async function withCrew<T>(
  threads: number,
  work: (crew: EvaluationCrew) => Promise<T>,
  { memoryBytes = 2 ** 33, signal = new AbortController().signal } = {},
): Promise<T> {
  const runtime = nodeRuntime({ threads });
  const encoder = await createEncoder(runtime, smallEncoder(smallGraph()));
  const source = { classes: ["a", "b", "c"] } as unknown as Parameters<
    typeof openEvaluationCrew
  >[0]["source"];
  const crew = await openEvaluationCrew({ encoder, runtime, source }, { validation, memoryBytes, signal });
  try {
    return await work(crew);
  } finally {
    await crew.end();
    await encoder.release();
  }
}

/** Every kind of task, several at once. */
async function everything(crew: EvaluationCrew, begun: () => void = () => {}) {
  const augmenter = await crew.augmenter();
  const few = numbersOf(5 * 3 * smallSide * smallSide);
  const many = numbersOf(66 * 3 * smallSide * smallSide);
  const drawn = [few, many].map((own, i) =>
    augmenter.training(own, cyclic(own.length / (3 * smallSide * smallSide)), i, 3),
  );
  const given = { classes, epochs: 7, learningRates: [0.01, 0.1] };
  const asked = Promise.all([
    crew.features(images, 12),
    crew.features(images, 12, "JPEG 75"),
    crew.features(images, 12, "noise 0.05"),
    ...drawn.map((training) => training.every()),
    ...[0, 1, 2].map(async (seed) =>
      crew.trainElsewhere(await drawn[0]!.pooled!(), "own", { ...given, seed }),
    ),
  ]);
  begun();
  const all = await asked;
  await augmenter.release();
  return all;
}

const numbersOf = (length: number) => Float32Array.from({ length }, (_, i) => ((i * 37) % 101) / 101);

describe("the parts of an evaluation", { timeout: 120_000 }, () => {
  it("give the same bits for any number of processes", async () => {
    const alone = await withCrew(1, everything);
    expect(alone[0]).toHaveLength(70 * smallFeatures);
    expect(alone[1]).not.toEqual(alone[0]);
    const shared = await withCrew(3, (crew) => {
      expect(crew.processes).toBe(3);
      return everything(crew);
    });
    expect(shared).toEqual(alone);
    expect(helperProcesses()).toEqual([]);
  });

  it("are done by another process where one is killed", async () => {
    const disturbed = await withCrew(2, (crew) =>
      everything(crew, () => process.kill(helperProcesses()[0]!, "SIGKILL")),
    );
    expect(disturbed).toEqual(await withCrew(1, everything));
  });

  it("take as many processes as memory has room for", async () => {
    const processes = (memoryBytes: number) => withCrew(3, async (crew) => crew.processes, { memoryBytes });
    expect(await processes(2 ** 20)).toBe(1);
    expect(await processes(200 * 2 ** 20)).toBe(2);
    expect(await processes(2 ** 30)).toBe(3);
  });

  it("end at once where they are stopped", async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const stopped = withCrew(2, (crew) => everything(crew, () => controller.abort()), { signal });
    await expect(stopped).rejects.toThrow();
    expect(helperProcesses()).toEqual([]);
  });
});
