import type { GraphBuilder } from "../graph/builder.ts";
import { constantOf, float32Of } from "../graph/constant.ts";
import { type Constant, intAttribute, ints, sizeOf } from "../graph/ir.ts";
import { reachOf, windowAttributes, windowOf } from "../graph/window.ts";
import { type Convolution, leading } from "./convolution-form.ts";
import { polyphaseGradient } from "./polyphase.ts";
import type { Rule, RuleContext, RuleTable } from "./rule.ts";
import { uncovered } from "./uncovered.ts";

const conv: Rule = (c, [dy]) => {
  const weight = constantWeight(c);
  const input = (): string =>
    inputGradient(c.b, dy!, {
      weight,
      window: windowOf(c.node, c.inputDims(1).slice(2)),
      group: intAttribute(c.node, "group", 1),
      inDims: c.inputDims(0),
      outDims: c.outputDims(0),
    });
  return [c.needs(0) ? input() : null, ...weightAndBias(c, dy!)];
};

/**
 * The cotangent of a convolution's input from that of its output. Chosen by measurement (docs/notes/performance.md): at
 * stride 1 a convolution with the flipped, transposed weight; at larger strides one convolution for each phase of the
 * input position, or ONNX's own ConvTranspose, which also is the form for images (few channels in) and patches.
 */
export function inputGradient(b: GraphBuilder, dy: string, convolution: Convolution): string {
  if (prefersFlipped(convolution)) {
    const flipped = flippedGradient(b, dy, convolution);
    if (flipped !== undefined) return flipped;
  }
  if (prefersPhases(convolution)) {
    const phases = polyphaseGradient(b, dy, convolution);
    if (phases !== undefined) return phases;
  }
  return transposedGradient(b, dy, convolution);
}

/** Blocked convolutions compute 8 or 16 channels at once: for an image's three, most of that is thrown away. */
function isThin({ weight, group }: Convolution): boolean {
  return group === 1 && weight.constant.dims[1] <= 8;
}

function prefersFlipped(convolution: Convolution): boolean {
  return convolution.window.strides.every((s) => s === 1) && !isThin(convolution);
}

/** Phases cost an interleaving pass over the input's cotangent and save the product's scattered sum. */
function prefersPhases(convolution: Convolution): boolean {
  return sizeOf(convolution.window.strides) <= 4 && !isThin(convolution);
}

/** Stride 1; undefined where dy would have to be cut. */
function flippedGradient(
  b: GraphBuilder,
  dy: string,
  { weight, window, group, inDims, outDims }: Convolution,
): string | undefined {
  const reach = reachOf(window);
  const begin = reach.map((r, i) => r - window.begin[i]);
  const end = reach.map((r, i) => inDims[i + 2] + r - outDims[i + 2] - begin[i]);
  if ([...begin, ...end].some((pad) => pad < 0)) return undefined;
  const flipped = b.constant(flippedTransposed(weight.constant, group));
  return b.op("Conv", [dy, flipped], windowAttributes({ ...window, begin, end }, group));
}

/** Any stride, with the weight as it is stored. */
function transposedGradient(
  b: GraphBuilder,
  dy: string,
  { weight, window, group, inDims, outDims }: Convolution,
): string {
  const { strides, begin } = window;
  // What the windows leave of the padded input: behind the last one are positions without gradient, or padding.
  const rest = reachOf(window).map(
    (reach, i) => inDims[i + 2] + begin[i] - ((outDims[i + 2] - 1) * strides[i] + reach + 1),
  );
  return b.op("ConvTranspose", [dy, weight.name], {
    ...windowAttributes({ ...window, end: rest.map((r) => Math.max(0, -r)) }, group),
    output_padding: ints(rest.map((r) => Math.max(0, r))),
  });
}

/** [M, C/g, …k] to [C, M/g, …k] with the kernel reversed: the weight of the adjoint at stride 1. */
function flippedTransposed(weight: Constant, group: number): Constant {
  const [M, Cg, ...kernel] = weight.dims as [number, number, ...number[]];
  const Mg = M / group;
  const taps = sizeOf(kernel);
  const from = float32Of(weight);
  const to = new Float32Array(from.length);
  for (let g = 0; g < group; g++) {
    for (let m = 0; m < Mg; m++) {
      for (let c = 0; c < Cg; c++) {
        const source = ((g * Mg + m) * Cg + c) * taps;
        const target = ((g * Cg + c) * Mg + m) * taps;
        for (let t = 0; t < taps; t++) to[target + taps - 1 - t] = from[source + t];
      }
    }
  }
  return constantOf("float32", [Cg * group, Mg, ...kernel], to);
}

const convTranspose: Rule = (c, [dy]) => {
  const weight = constantWeight(c);
  return [c.needs(0) ? convolved(c, dy!, weight.name) : null, ...weightAndBias(c, dy!)];
};

/** The adjoint of a transposed convolution: the convolution with the same weight, padded to give the input's size. */
function convolved(c: RuleContext, dy: string, weight: string): string {
  const window = windowOf(c.node, c.inputDims(1).slice(2));
  const out = c.outputDims(0).slice(2);
  const end = reachOf(window).map(
    (reach, i) => (c.inputDims(0)[i + 2] - 1) * window.strides[i] + reach + 1 - out[i] - window.begin[i],
  );
  // Output padding behind the last window takes no part.
  const reached = out.map((size, i) => size + Math.min(0, end[i]));
  return c.b.op(
    "Conv",
    [reached.every((size, i) => size === out[i]) ? dy : leading(c.b, dy, reached), weight],
    windowAttributes({ ...window, end: end.map((p) => Math.max(0, p)) }, intAttribute(c.node, "group", 1)),
  );
}

function constantWeight(c: RuleContext): Convolution["weight"] {
  const name = c.node.inputs[1];
  const constant = c.constant(name);
  if (constant === undefined) throw uncovered(c.node, "takes a weight that is computed from the image");
  return { name, constant };
}

/** The cotangents of the inputs after the first: a bias's is the sum over batch and space. */
function weightAndBias(c: RuleContext, dy: string): (string | null)[] {
  if (c.node.inputs.length < 3) return [null];
  const space = c.outputDims(0).map((_, i) => i);
  return [
    null,
    c.needs(2)
      ? c.b.reduceSum(
          dy,
          space.filter((i) => i !== 1),
          false,
        )
      : null,
  ];
}

export const convolutionRules: RuleTable = { Conv: conv, ConvTranspose: convTranspose };
