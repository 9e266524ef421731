import { Tensor } from "onnxruntime-common";
import { expect } from "vitest";
import { GraphBuilder } from "../../src/onnx-vjp/graph/builder.ts";
import { constantOf } from "../../src/onnx-vjp/graph/constant.ts";
import { type Attributes, type DataType, sizeOf } from "../../src/onnx-vjp/graph/ir.ts";
import { withoutDeadNodes } from "../../src/onnx-vjp/graph/live.ts";
import { trace } from "../../src/onnx-vjp/prepare/trace.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { derive } from "../../src/onnx-vjp/vjp/derive.ts";

/** A dense array of doubles with a shape: what reference implementations compute on. */
export interface Array64 {
  readonly dims: readonly number[];
  readonly data: Float64Array;
}

export function array64(dims: readonly number[], data?: ArrayLike<number>): Array64 {
  return { dims, data: data ? Float64Array.from(data) : new Float64Array(sizeOf(dims)) };
}

export interface RuleCase {
  readonly op: string;
  readonly attributes?: Attributes;
  readonly domain?: string;
  /** In order; `variable` ones are differentiated, the others are constants. "" marks an absent optional input. */
  readonly inputs: readonly ("" | (Array64 & { readonly variable?: boolean; readonly dtype?: DataType }))[];
  /** How many outputs the node has, and which are differentiated (default: the first alone). */
  readonly outputs?: number;
  readonly of?: readonly number[];
  /** Independent forward in double, one array per differentiated output. */
  readonly reference: (inputs: readonly Array64[]) => Array64 | readonly Array64[];
  /** Cotangents; default: random numbers from `seed`. */
  readonly seed?: number;
  /** Largest relative error of the gradient (default 1e-4), and of the forward (default 1e-5). */
  readonly tolerance?: number;
  /** Step of the central differences in double (default 1e-5). */
  readonly step?: number;
}

const runtime = nodeRuntime({ threads: 1 });

/**
 * Holds one op's pullback rule against central differences of a double-precision reference: the forward
 * that ONNX Runtime computes must be the reference's, and the derived gradient must be its derivative.
 */
export async function checkRule(c: RuleCase): Promise<void> {
  const b = new GraphBuilder();
  const names = c.inputs.map((input, i) => {
    if (input === "") return "";
    const dtype = input.dtype ?? "float32";
    return input.variable
      ? b.input(`x${i}`, input.dims, dtype)
      : b.constant(constantOf(dtype, input.dims, input.data));
  });
  const outputs = b.ops(c.op, names, c.outputs ?? 1, c.attributes, c.domain);
  const of = (c.of ?? [0]).map((k) => outputs[k]);
  const given = c.inputs.map((input) => (input === "" ? array64([0]) : array64(input.dims, input.data)));
  const references = list(c.reference(given));
  for (const [k, name] of of.entries()) b.output(name, references[k]);
  const variables = c.inputs.flatMap((input, i) => (input !== "" && input.variable ? [i] : []));
  const dims = Object.fromEntries(variables.map((i) => [names[i], (c.inputs[i] as Array64).dims]));

  const traced = await trace(runtime, b.graph, dims);
  const d = derive(
    traced,
    variables.map((i) => names[i]),
    of,
  );
  const joint = withoutDeadNodes({
    ...d.graph,
    outputs: [
      ...b.graph.outputs,
      ...d.gradients.map((name, k) => ({
        name,
        dtype: "float32" as const,
        dims: (c.inputs[variables[k]] as Array64).dims,
      })),
    ],
  });
  const random = randomNumbers(c.seed ?? 1);
  const cotangents = references.map((r) =>
    array64(
      r.dims,
      Float64Array.from(r.data, () => Math.fround(random())),
    ),
  );
  const feeds = {
    ...Object.fromEntries(variables.map((i) => [names[i], tensorOf(c.inputs[i] as Array64)])),
    ...Object.fromEntries(d.cotangents.map((name, k) => [name, tensorOf(cotangents[k])])),
  };
  const session = await runtime.session(joint);
  // A cotangent that no node reads (a rule that needs none) is not an input of the session's graph.
  const results = await session.run(
    Object.fromEntries(Object.entries(feeds).filter(([n]) => session.graph.inputs.includes(n))),
  );
  await session.release();

  of.forEach((name, k) => {
    expect([...results[name].dims], `${c.op}: output shape`).toEqual([...references[k].dims]);
    expect(
      forwardError(results[name].data as Float32Array, references[k].data),
      `${c.op}: forward`,
    ).toBeLessThan(1e-5);
  });
  const step = c.step ?? 1e-5;
  variables.forEach((i, k) => {
    const x = given[i];
    const expected = new Float64Array(x.data.length);
    for (let e = 0; e < expected.length; e++) {
      const value = x.data[e];
      const at = (v: number): number => {
        x.data[e] = v;
        const ys = list(c.reference(given));
        return ys.reduce((sum, y, j) => sum + dot(y.data, cotangents[j].data), 0);
      };
      expected[e] = (at(value + step) - at(value - step)) / (2 * step);
      x.data[e] = value;
    }
    const name = d.gradients[k];
    expect([...results[name].dims], `${c.op}: gradient shape of input ${i}`).toEqual([...x.dims]);
    expect(
      relativeError(results[name].data as Float32Array, expected),
      `${c.op}: gradient of input ${i}`,
    ).toBeLessThan(c.tolerance ?? 1e-4);
  });
}

const list = (x: Array64 | readonly Array64[]): readonly Array64[] => ("data" in x ? [x] : x);

const tensorOf = (x: Array64) => new Tensor("float32", Float32Array.from(x.data), [...x.dims]);

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
};

/**
 * ‖a − b‖ over ‖b‖, or over a tenth an element where ‖b‖ is less: inputs are of order one, so a value near zero
 * is a cancellation that float32 cannot resolve to five digits of itself.
 */
function forwardError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const norm = Math.sqrt(dot(b, b));
  const least = 0.1 * Math.sqrt(b.length);
  return norm >= least ? relativeError(a, b) : (relativeError(a, b) * (norm < 1e-12 ? 1 : norm)) / least;
}

/** ‖a − b‖ / ‖b‖ in the 2-norm; where b is (near) zero, ‖a‖ itself. */
export function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < a.length; i++) {
    difference += (a[i] - b[i]) ** 2;
    norm += b[i] ** 2;
  }
  const error = Math.sqrt(difference);
  return norm < 1e-24 ? error : error / Math.sqrt(norm);
}

/** A small seeded generator of numbers in (−1, 1) (mulberry32), for test data. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (((t ^ (t >>> 14)) >>> 0) / 4294967296) * 2 - 1;
  };
}

/** A float32-representable random array in (−1, 1), so that float32 and double see the same input. */
export function randomArray(dims: readonly number[], random: () => number, scale = 1): Array64 {
  return array64(
    dims,
    Float64Array.from({ length: sizeOf(dims) }, () => Math.fround(random() * scale)),
  );
}
