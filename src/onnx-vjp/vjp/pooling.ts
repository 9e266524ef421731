import type { GraphBuilder } from "../graph/builder.ts";
import { constantOf } from "../graph/constant.ts";
import { int, intAttribute, intsAttribute, sizeOf } from "../graph/ir.ts";
import { type Window, windowAttributes, windowCounts, windowOf } from "../graph/window.ts";
import { arithmetic } from "./arithmetic.ts";
import { inputGradient } from "./convolution.ts";
import { zerosOf } from "./reshaping.ts";
import type { Rule, RuleContext, RuleTable } from "./rule.ts";

/** Every position gets its share of the mean's cotangent. */
const globalAveragePool: Rule = (c, [dy]) => {
  const dims = c.inputDims(0);
  const share = c.b.op("Mul", [dy!, c.b.scalar(1 / sizeOf(dims.slice(2)))]);
  return [c.b.op("Expand", [share, c.b.ints(dims)])];
};

/** Spatial maxima; where several positions are equal they share the cotangent evenly. */
const globalMaxPool: Rule = (c, [dy]) => {
  const mask = c.b.op("Equal", [c.node.inputs[0], c.node.outputs[0]]);
  const ones = c.b.op("Cast", [mask], { to: int(1) });
  const axes = c
    .inputDims(0)
    .slice(2)
    .map((_, i) => i + 2);
  const share = c.b.op("Div", [dy!, c.b.reduceSum(ones, axes, true)]);
  return [c.b.op("Mul", [ones, share])];
};

const averagePool: Rule = (c, [dy]) => {
  const kernel = intsAttribute(c.node, "kernel_shape")!;
  const inDims = c.inputDims(0);
  const outDims = c.outputDims(0);
  const window = windowOf(c.node, kernel);
  const padding = intAttribute(c.node, "count_include_pad", 0) === 1;
  const counts = windowCounts(window, inDims.slice(2), outDims.slice(2), padding);
  const share = c.b.op("Mul", [
    dy!,
    c.b.floats(
      [1, 1, ...outDims.slice(2)],
      counts.map((n) => 1 / n),
    ),
  ]);
  return [sumWindows(c.b, share, window, inDims, outDims)];
};

/** The adjoint of summing over windows: a depthwise transposed convolution with ones. */
function sumWindows(
  b: GraphBuilder,
  dy: string,
  window: Window,
  inDims: readonly number[],
  outDims: readonly number[],
): string {
  const dims = [inDims[1], 1, ...window.kernel];
  const constant = constantOf("float32", dims, new Float32Array(sizeOf(dims)).fill(1));
  const weight = { name: b.constant(constant), constant };
  return inputGradient(b, dy, { weight, window, group: inDims[1], inDims, outDims });
}

/**
 * The first maximum of a window takes the whole cotangent, as in PyTorch. The node hands out the maxima's positions,
 * or a second one on the same input does.
 */
const maxPool: Rule = (c, [dy]) => {
  const inDims = c.inputDims(0);
  const kernel = intsAttribute(c.node, "kernel_shape")!;
  const { group: _, ...attributes } = windowAttributes(windowOf(c.node, kernel), 1);
  // Positions counted column by column are another order than the cotangent's.
  const given = intAttribute(c.node, "storage_order", 0) === 0 ? c.node.outputs[1] : undefined;
  const positions =
    given ||
    c.b.ops("MaxPool", [c.node.inputs[0]], 2, {
      ...attributes,
      ceil_mode: int(intAttribute(c.node, "ceil_mode", 0)),
    })[1];
  const count = sizeOf(inDims);
  const zeros = zerosOf(c.b, [count], c.type(c.node.inputs[0]).dtype);
  const flat = c.b.op("ScatterElements", [zeros, c.b.reshape(positions, [-1]), c.b.reshape(dy!, [-1])], {
    axis: int(0),
    reduction: { kind: "string", value: "add" },
  });
  return [c.b.reshape(flat, inDims)];
};

/** y = (Σ|x|ᵖ)^(1/p) over each window: dx = sign(x)·|x|^(p−1)·Σ dy·y^(1−p) over the windows that x is in. */
function powerPool(c: RuleContext, dy: string, spread: (dy: string) => string): string {
  const { mul, div, sub, pow, abs, greater, less, where, float } = arithmetic(c.b, "float32");
  const p = intAttribute(c.node, "p", 2);
  const [x, y] = [c.node.inputs[0], c.node.outputs[0]];
  if (p === 1) return mul(sub(float(greater(x, 0)), float(less(x, 0))), spread(dy));
  // A window of zeros has no derivative: 0, as x itself is.
  const norm = where(greater(y, 0), y, 1);
  const shared = spread(div(dy, p === 2 ? norm : pow(norm, p - 1)));
  return mul(p === 2 ? x : mul(x, pow(abs(x), p - 2)), shared);
}

const lpPool: Rule = (c, [dy]) => {
  const window = windowOf(c.node, intsAttribute(c.node, "kernel_shape")!);
  return [powerPool(c, dy!, (share) => sumWindows(c.b, share, window, c.inputDims(0), c.outputDims(0)))];
};

const globalLpPool: Rule = (c, [dy]) => [powerPool(c, dy!, (share) => share)];

export const poolingRules: RuleTable = {
  GlobalAveragePool: globalAveragePool,
  GlobalMaxPool: globalMaxPool,
  AveragePool: averagePool,
  MaxPool: maxPool,
  LpPool: lpPool,
  GlobalLpPool: globalLpPool,
};
