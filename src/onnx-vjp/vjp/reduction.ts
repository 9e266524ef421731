import { fromFront, int, intAttribute, sizeOf } from "../graph/ir.ts";
import { type Arithmetic, arithmetic } from "./arithmetic.ts";
import { addElements } from "./gather.ts";
import { reshaped } from "./reshaping.ts";
import { type Rule, type RuleContext, type RuleTable, sumTo } from "./rule.ts";
import { integersOf, uncovered } from "./uncovered.ts";

interface Reduced extends Arithmetic {
  readonly x: string;
  /** Output and cotangent, with the reduced axes kept as 1: they broadcast against x. */
  readonly y: string;
  readonly dy: string;
  /** How many elements each output element was made from. */
  readonly count: number;
  /** Sums a value of x's shape as this node reduces, keeping the axes. */
  sum(value: string): string;
  /** The same with products. */
  product(value: string): string;
}

/** The rule of a reduction from its derivative, which broadcasts against the input. */
function reduction(derivative: (r: Reduced) => string): Rule {
  return (c, [dy]) => [gradientOfData(c, dy!, derivative), ...c.node.inputs.slice(1).map(() => null)];
}

function gradientOfData(c: RuleContext, dy: string, derivative: (r: Reduced) => string): string {
  const { b, node } = c;
  const dims = c.inputDims(0);
  const axes = reducedAxes(c, dims);
  const kept = dims.map((d, i) => (axes.includes(i) ? 1 : d));
  const keep = (value: string) => reshaped(b, value, c.outputDims(0), kept);
  return derivative({
    ...arithmetic(b, c.type(node.inputs[0]).dtype),
    x: node.inputs[0],
    get y() {
      return keep(node.outputs[0]);
    },
    dy: keep(dy),
    count: sizeOf(dims) / sizeOf(kept),
    sum: (value) => (axes.length === 0 ? value : b.reduceSum(value, axes, true)),
    product: (value) =>
      axes.length === 0 ? value : b.op("ReduceProd", [value, b.ints(axes)], { keepdims: int(1) }),
  });
}

/**
 * The axes that a reduction runs over: all where none are given, or with noop_with_empty_axes none, where ONNX Runtime
 * still takes each element's magnitude, square or logarithm.
 */
function reducedAxes(c: RuleContext, dims: readonly number[]): number[] {
  const given = integersOf(c, 1) ?? [];
  if (given.length > 0) return given.map((axis) => fromFront(axis, dims.length));
  return intAttribute(c.node, "noop_with_empty_axes", 0) === 1 ? [] : [...dims.keys()];
}

/** Max and Min: equal shares to all elements that attain the extremum, as torch.amax does. */
const extremum = reduction(({ dy, x, y, equal, float, div, where, sum }) => {
  const attains = equal(x, y);
  return where(attains, div(dy, sum(float(attains))), 0);
});

/** A reduction whose derivative is the same for every element: the cotangent, scaled, is repeated. */
function repeated(scale: (r: Reduced) => string): Rule {
  return (c, [dy]) => {
    const dx = gradientOfData(c, dy!, (r) => {
      const scaled = scale(r);
      return r.count === 1 ? scaled : c.b.op("Expand", [scaled, c.b.ints(c.inputDims(0))]);
    });
    return [dx, ...c.node.inputs.slice(1).map(() => null)];
  };
}

export const reductionRules: RuleTable = {
  ReduceSum: repeated(({ dy }) => dy),
  ReduceMean: repeated(({ dy, count, mul }) => mul(dy, 1 / count)),
  ReduceLogSum: repeated(({ dy, y, mul, exp, neg }) => mul(dy, exp(neg(y)))),
  ReduceMax: extremum,
  ReduceMin: extremum,
  ReduceSumSquare: reduction(({ dy, x, mul }) => mul(mul(dy, 2), x)),
  // 0 at the origin, as torch.norm.
  ReduceL2: reduction(({ dy, x, y, greater, where, div, mul }) =>
    mul(x, where(greater(y, 0), div(dy, y), 0)),
  ),
  ReduceL1: reduction(({ dy, x, greater, less, where, neg }) =>
    where(greater(x, 0), dy, where(less(x, 0), neg(dy), 0)),
  ),
  // The product of the others: y/x, and with a zero among them 0 but for that zero itself.
  ReduceProd: reduction(({ dy, x, equal, float, greater, sub, where, div, mul, product, sum }) => {
    const zero = equal(x, 0);
    const nonzero = where(zero, 1, x);
    const zerosAmongOthers = sub(sum(float(zero)), float(zero));
    return where(greater(zerosAmongOthers, 0), 0, mul(dy, div(product(nonzero), nonzero)));
  }),
  ReduceLogSumExp: reduction(({ dy, x, y, exp, sub, mul }) => mul(dy, exp(sub(x, y)))),

  Sum: (c, [dy]) =>
    c.node.inputs.map((_, i) => (c.needs(i) ? sumTo(c.b, dy!, c.outputDims(0), c.inputDims(i)) : null)),
  Mean: (c, [dy]) => {
    const { mul } = arithmetic(c.b, c.type(c.node.inputs[0]).dtype);
    const share = mul(dy!, 1 / c.node.inputs.length);
    return c.node.inputs.map((_, i) =>
      c.needs(i) ? sumTo(c.b, share, c.outputDims(0), c.inputDims(i)) : null,
    );
  },

  // An element counts in its own sum and those after it: the cotangents are summed from the other end.
  CumSum: (c, [dy]) => {
    const reverse = int(1 - intAttribute(c.node, "reverse", 0));
    const exclusive = int(intAttribute(c.node, "exclusive", 0));
    return [c.b.op("CumSum", [dy!, c.node.inputs[1]], { reverse, exclusive }), null];
  },

  // The elements that were chosen get the cotangent; the choice itself has no gradient.
  TopK: (c, [dy]) => {
    const indices = c.node.outputs[1] ?? "";
    if (indices === "") throw uncovered(c.node, "does not give its indices");
    const dims = c.inputDims(0);
    const axis = fromFront(intAttribute(c.node, "axis", -1), dims.length);
    return [addElements(c, dy!, dims, axis, indices), null];
  },
};
