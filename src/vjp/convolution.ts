import { ModelError } from "../errors.ts";
import type { GraphBuilder } from "../graph/builder.ts";
import { constantOf, float32Of } from "../graph/constant.ts";
import {
  type Attributes,
  type Constant,
  describeNode,
  int,
  intAttribute,
  ints,
  intsAttribute,
  type Node,
} from "../graph/ir.ts";
import { polyphaseGradient } from "./polyphase.ts";
import type { Rule, RuleContext, RuleTable } from "./rule.ts";

/** The geometry of a convolution or pooling window, one entry per spatial axis. */
export interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly begin: readonly number[];
  readonly end: readonly number[];
}

/** Reads a window from a node's attributes; padding is explicit (auto_pad is lowered at import). */
export function windowOf(node: Node, kernel: readonly number[]): Window {
  const rank = kernel.length;
  const ones = kernel.map(() => 1);
  const pads = intsAttribute(node, "pads") ?? [...ones, ...ones].map(() => 0);
  return {
    kernel,
    strides: intsAttribute(node, "strides") ?? ones,
    dilations: intsAttribute(node, "dilations") ?? ones,
    begin: pads.slice(0, rank),
    end: pads.slice(rank),
  };
}

const conv: Rule = (c, [dy]) => {
  requireConstantWeight(c);
  const weight = c.node.inputs[1]!;
  const kernel = c.inputDims(1).slice(2);
  const gradient = inputGradient(
    c.b,
    dy!,
    { name: weight, constant: c.constant(weight)! },
    windowOf(c.node, kernel),
    intAttribute(c.node, "group", 1),
    c.inputDims(0),
    c.outputDims(0),
  );
  return c.node.inputs.map((_, i) => (i === 0 ? gradient : null));
};

/**
 * The cotangent of a convolution's input. Chosen by measurement (docs/performance.md): stride 1 is a convolution
 * with the flipped, transposed weight; patches without overlap are a product; a strided one is split into its
 * phases; what is left is ONNX's own ConvTranspose.
 *
 * @param dy cotangent [n, M, …out]; weight [M, C/group, …kernel]
 */
export function inputGradient(
  b: GraphBuilder,
  dy: string,
  weight: { readonly name: string; readonly constant: Constant },
  window: Window,
  group: number,
  inDims: readonly number[],
  outDims: readonly number[],
): string {
  const { kernel, strides, dilations, begin } = window;
  const space = inDims.slice(2);
  const out = outDims.slice(2);
  const reach = kernel.map((k, i) => (k - 1) * dilations[i]!);
  if (strides.every((s) => s === 1) && begin.every((p, i) => p <= reach[i]!)) {
    const before = reach.map((r, i) => r - begin[i]!);
    const after = space.map((size, i) => size + reach[i]! - out[i]! - before[i]!);
    if (after.every((p) => p >= 0)) {
      const flipped = b.constant(flippedTransposed(weight.constant, group));
      return b.op("Conv", [dy, flipped], windowAttributes({ ...window, begin: before, end: after }, group));
    }
  }
  if (isPatches(window, group, space, out)) return patchGradient(b, dy, weight.constant, inDims, outDims);
  const phases = polyphaseGradient(b, dy, weight.constant, window, group, inDims, outDims);
  if (phases !== undefined) return phases;
  // Positions behind the last window get no gradient: output_padding.
  const rest = space.map((size, i) => size - ((out[i]! - 1) * strides[i]! + reach[i]! + 1 - begin[i]!));
  return b.op("ConvTranspose", [dy, weight.name], {
    ...windowAttributes({ ...window, end: rest.map((r) => Math.max(0, -r)) }, group),
    output_padding: ints(rest.map((r) => Math.max(0, r))),
  });
}

export function windowAttributes(window: Window, group: number): Attributes {
  const { kernel, strides, dilations, begin, end } = window;
  return {
    kernel_shape: ints(kernel),
    strides: ints(strides),
    dilations: ints(dilations),
    pads: ints([...begin, ...end]),
    group: int(group),
  };
}

/** [M, C/g, …k] to [C, M/g, …k] with the kernel reversed: the weight of the adjoint at stride 1. */
export function flippedTransposed(weight: Constant, group: number): Constant {
  const [M, Cg, ...kernel] = weight.dims as [number, number, ...number[]];
  const Mg = M / group;
  const taps = kernel.reduce((product, k) => product * k, 1);
  const from = float32Of(weight);
  const to = new Float32Array(from.length);
  for (let g = 0; g < group; g++) {
    for (let m = 0; m < Mg; m++) {
      for (let c = 0; c < Cg; c++) {
        const source = ((g * Mg + m) * Cg + c) * taps;
        const target = ((g * Cg + c) * Mg + m) * taps;
        for (let t = 0; t < taps; t++) to[target + taps - 1 - t] = from[source + t]!;
      }
    }
  }
  return constantOf("float32", [Cg * group, Mg, ...kernel], to);
}

/** Whether windows tile the input without overlap or padding, as patch embeddings do. */
function isPatches(window: Window, group: number, space: readonly number[], out: readonly number[]): boolean {
  return (
    group === 1 &&
    space.length === 2 &&
    window.kernel.every((k, i) => k === window.strides[i]! && window.dilations[i] === 1) &&
    window.begin.every((p) => p === 0) &&
    space.every((size, i) => size === out[i]! * window.kernel[i]!)
  );
}

/** Patches: dy [n, M, h, w] to rows, one product with the weight as it lies, rows back to pixels. */
function patchGradient(
  b: GraphBuilder,
  dy: string,
  weight: Constant,
  inDims: readonly number[],
  outDims: readonly number[],
): string {
  const [n, M, h, w] = outDims as [number, number, number, number];
  const [, C, kh, kw] = weight.dims as [number, number, number, number];
  const rows = b.reshape(b.transpose(dy, [0, 2, 3, 1]), [n * h * w, M]);
  const flat = b.constant({ ...weight, dims: [M, C * kh * kw] });
  const patches = b.reshape(b.op("MatMul", [rows, flat]), [n, h, w, C, kh, kw]);
  return b.reshape(b.transpose(patches, [0, 3, 1, 4, 2, 5]), inDims);
}

const convTranspose: Rule = (c, [dy]) => {
  requireConstantWeight(c);
  const kernel = c.inputDims(1).slice(2);
  const window = windowOf(c.node, kernel);
  const space = c.inputDims(0).slice(2);
  const out = c.outputDims(0).slice(2);
  // The adjoint is the convolution with the same weight; the end padding that gives the input's size back.
  const end = space.map((size, i) => {
    const reach = (kernel[i]! - 1) * window.dilations[i]! + 1;
    return (size - 1) * window.strides[i]! + reach - out[i]! - window.begin[i]!;
  });
  const cut = end.map((p) => Math.max(0, -p));
  const whole = cut.some((p) => p > 0)
    ? leading(
        c.b,
        dy!,
        out.map((size, i) => size - cut[i]!),
      )
    : dy!;
  const gradient = c.b.op(
    "Conv",
    [whole, c.node.inputs[1]!],
    windowAttributes({ ...window, end: end.map((p) => Math.max(0, p)) }, intAttribute(c.node, "group", 1)),
  );
  return c.node.inputs.map((_, i) => (i === 0 ? gradient : null));
};

/** The first `sizes` positions of each spatial axis. */
export function leading(b: GraphBuilder, x: string, sizes: readonly number[]): string {
  const axes = sizes.map((_, i) => i + 2);
  return b.op("Slice", [x, b.ints(sizes.map(() => 0)), b.ints(sizes), b.ints(axes)]);
}

function requireConstantWeight(c: RuleContext): void {
  const weight = c.node.inputs[1]!;
  if (c.constant(weight) !== undefined && !c.needs(1) && !c.needs(2)) return;
  throw new ModelError(
    `${describeNode(c.node)} takes a weight that is computed from the image, which has no pullback rule. ` +
      "Choose a feature tensor before it (`clp-dd inspect` lists the candidates).",
  );
}

export const convolutionRules: RuleTable = { Conv: conv, ConvTranspose: convTranspose };
