import { constantOf, numbersOf } from "../graph/constant.ts";
import { floatAttribute, fromFront, int, intAttribute } from "../graph/ir.ts";
import { givesCenteredRows } from "../prepare/fold-layernorm.ts";
import { arithmetic } from "./arithmetic.ts";
import { type RuleContext, type RuleTable, sumTo } from "./rule.ts";
import { uncovered } from "./uncovered.ts";

/** Normalizations, of batch statistics that are constants and of statistics that depend on the input. */
export const normalizationRules: RuleTable = {
  LayerNormalization: (c, [dy, ...statistics]) => {
    if (statistics.some((cotangent) => cotangent !== undefined)) {
      throw uncovered(c.node, "hands its mean or deviation on to the feature");
    }
    const [x, scale] = c.node.inputs as readonly [string, string];
    const dims = c.inputDims(0);
    const axes = range(fromFront(intAttribute(c.node, "axis", -1), dims.length), dims.length);
    const epsilon = floatAttribute(c.node, "epsilon", 1e-5);
    const [mean, deviation] = c.node.outputs.slice(1);
    // Without scale and bias the output is the normalized value (graph/fold-layernorm.ts).
    const plain = c.node.inputs.length === 2 && isOne(c, scale);
    const centered = once(() => c.b.op("Sub", [x, mean || average(c, x, axes)]));
    const rstd = once(() => deviation || inverseDeviation(c, centered(), axes, epsilon));
    const normalized = once(() => (plain ? c.node.outputs[0] : c.b.op("Mul", [centered(), rstd()])));
    const pulled = (): string => {
      if (!plain) return normalizationPullback(c, c.b.op("Mul", [dy!, scale]), normalized(), rstd(), axes);
      const isCentered = axes.length === 1 && hasCenteredRows(c, dy!, dims.at(-1)!);
      return normalizationPullback(c, dy!, normalized(), rstd(), axes, isCentered);
    };
    const gradients: (string | null)[] = [
      c.needs(0) ? pulled() : null,
      c.needs(1) ? sumTo(c.b, c.b.op("Mul", [dy!, normalized()]), dims, c.inputDims(1)) : null,
    ];
    if (c.node.inputs.length > 2) {
      gradients.push(c.needs(2) ? sumTo(c.b, dy!, dims, c.inputDims(2)) : null);
    }
    return gradients;
  },

  // y = scale·x·r with r = 1/√(mean(x²) + ε): ONNX Runtime's own operator, where RMSNormalization is lowered to.
  // dx = r·(g − x·r²·mean(g∘x)), g = scale·dy
  SimplifiedLayerNormalization: (c, [dy, deviation]) => {
    if (deviation !== undefined) throw uncovered(c.node, "hands its deviation on to the feature");
    const { mul, sub, add } = arithmetic(c.b, c.type(c.node.inputs[0]).dtype);
    const [x, scale] = c.node.inputs as readonly [string, string];
    const dims = c.inputDims(0);
    const axes = range(fromFront(intAttribute(c.node, "axis", -1), dims.length), dims.length);
    const square = () => add(average(c, mul(x, x), axes), floatAttribute(c.node, "epsilon", 1e-5));
    const r = c.node.outputs[1] || c.b.op("Reciprocal", [c.b.op("Sqrt", [square()])]);
    const pulled = (): string => {
      const g = mul(dy!, scale);
      return mul(sub(g, mul(x, mul(mul(r, r), average(c, mul(g, x), axes)))), r);
    };
    return [
      c.needs(0) ? pulled() : null,
      c.needs(1) ? sumTo(c.b, mul(dy!, mul(x, r)), dims, c.inputDims(1)) : null,
    ];
  },

  // y = scale·(x − mean)/√(var + ε) + bias, with one number of each a channel
  InstanceNormalization: (c, [dy]) => {
    const [x, scale] = c.node.inputs as readonly [string, string];
    const dims = c.inputDims(0);
    const axes = range(2, dims.length);
    const centered = c.b.op("Sub", [x, average(c, x, axes)]);
    const rstd = inverseDeviation(c, centered, axes, floatAttribute(c.node, "epsilon", 1e-5));
    const normalized = c.b.op("Mul", [centered, rstd]);
    const channels = [1, dims[1], ...axes.map(() => 1)];
    // The scale does not change along the axes, so it goes with the deviation: one small product.
    const factor = () => c.b.op("Mul", [rstd, c.b.reshape(scale, channels)]);
    const perChannel = (value: string) => c.b.reshape(sumTo(c.b, value, dims, channels), [dims[1]]);
    return [
      c.needs(0) ? normalizationPullback(c, dy!, normalized, factor(), axes) : null,
      c.needs(1) ? perChannel(c.b.op("Mul", [dy!, normalized])) : null,
      c.needs(2) ? perChannel(dy!) : null,
    ];
  },

  // y = scale·(x − mean)/√(var + ε) + bias, all of them constants: an affine function
  BatchNormalization: (c, [dy]) => {
    if (intAttribute(c.node, "training_mode", 0) !== 0 || [1, 2, 3, 4].some((i) => c.needs(i))) {
      throw uncovered(c.node, "runs in training mode, or takes parameters that depend on the image");
    }
    const [, scale, , , variance] = c.node.inputs as readonly [string, string, string, string, string];
    const channels = [
      c.inputDims(1)[0],
      ...c
        .inputDims(0)
        .slice(2)
        .map(() => 1),
    ];
    const epsilon = floatAttribute(c.node, "epsilon", 1e-5);
    const scales = c.constant(scale);
    const variances = c.constant(variance);
    const dtype = c.type(scale).dtype;
    const none = [null, null, null, null];
    if (scales && variances) {
      const s = numbersOf(scales);
      const factor = numbersOf(variances).map((v, i) => s[i] / Math.sqrt(v + epsilon));
      return [c.b.op("Mul", [dy!, c.b.constant(constantOf(dtype, channels, factor))]), ...none];
    }
    const deviation = c.b.op("Sqrt", [c.b.op("Add", [variance, c.b.scalar(epsilon, dtype)])]);
    return [c.b.op("Mul", [dy!, c.b.reshape(c.b.op("Div", [scale, deviation]), channels)]), ...none];
  },

  // y = x/‖x‖: dx = (dy − n(x)·Σ dy∘y)/‖x‖, n the norm's own gradient: y for p = 2, the sign of x for p = 1
  LpNormalization: (c, [dy]) => {
    const { mul, sub, where, greater, less } = arithmetic(c.b, c.type(c.node.inputs[0]).dtype);
    const x = c.node.inputs[0];
    const y = c.node.outputs[0];
    const axes = [fromFront(intAttribute(c.node, "axis", -1), c.inputDims(0).length)];
    const euclidean = intAttribute(c.node, "p", 2) === 2;
    const norm = c.b.op(euclidean ? "ReduceL2" : "ReduceL1", [x, c.b.ints(axes)], { keepdims: int(1) });
    const sign = () => where(greater(x, 0), 1, where(less(x, 0), -1, 0));
    // A vector of zeros stays zero and passes no gradient.
    const inverse = where(greater(norm, 0), c.b.op("Reciprocal", [norm]), 0);
    const along = mul(euclidean ? y : sign(), c.b.reduceSum(mul(dy!, y), axes, true));
    return [mul(sub(dy!, along), inverse)];
  },
};

function isOne(c: RuleContext, value: string): boolean {
  const constant = c.constant(value);
  return constant !== undefined && numbersOf(constant).every((number) => number === 1);
}

/**
 * Whether `value` has rows of `width` numbers that add up to zero: what products with centered weights
 * (graph/fold-layernorm.ts) hand back, sums of such, and rows of zeros.
 */
function hasCenteredRows(c: RuleContext, value: string, width: number): boolean {
  const node = c.producer(value);
  if (node === undefined || node.domain !== "") return false;
  const constant = (i: number) => c.b.graph.constants.get(node.inputs[i] ?? "");
  const [first, second = ""] = node.inputs as readonly [string, string?];
  switch (node.op) {
    case "Gemm": {
      const weight = constant(1);
      const transposed = intAttribute(node, "transB", 0) === 0;
      if (weight?.dims[transposed ? 1 : 0] !== width || node.inputs.length > 2) return false;
      return givesCenteredRows(weight, transposed);
    }
    case "Reshape": {
      const shape = constant(1);
      return shape !== undefined && numbersOf(shape).at(-1) === width && hasCenteredRows(c, first, width);
    }
    case "Add":
      return hasCenteredRows(c, first, width) && hasCenteredRows(c, second, width);
    case "Pad": {
      const pads = constant(1);
      const ends = pads && [...numbersOf(pads)];
      const rank = (ends?.length ?? 0) / 2;
      const zeros = node.inputs.length === 2 && ends?.[rank - 1] === 0 && ends[2 * rank - 1] === 0;
      return zeros && hasCenteredRows(c, first, width);
    }
    default:
      return false;
  }
}

/**
 * dx = factor·(g − mean(g) − x̂·mean(g∘x̂)), with x̂ = (x − mean)/deviation and means along `axes`.
 * @param isCentered whether mean(g) is known to be zero
 */
function normalizationPullback(
  c: RuleContext,
  g: string,
  normalized: string,
  factor: string,
  axes: readonly number[],
  isCentered = false,
): string {
  const centered = isCentered ? g : c.b.op("Sub", [g, average(c, g, axes)]);
  const along = c.b.op("Mul", [normalized, average(c, c.b.op("Mul", [g, normalized]), axes)]);
  return c.b.op("Mul", [c.b.op("Sub", [centered, along]), factor]);
}

/** 1/√(mean(centered²) + ε) along `axes`. */
function inverseDeviation(
  c: RuleContext,
  centered: string,
  axes: readonly number[],
  epsilon: number,
): string {
  const variance = average(c, c.b.op("Mul", [centered, centered]), axes);
  const shifted = c.b.op("Add", [variance, c.b.scalar(epsilon, c.type(c.node.inputs[0]).dtype)]);
  return c.b.op("Reciprocal", [c.b.op("Sqrt", [shifted])]);
}

/** The mean along `axes`, kept as dimensions of 1. */
function average(c: RuleContext, value: string, axes: readonly number[]): string {
  return c.b.op("ReduceMean", [value, c.b.ints(axes)], { keepdims: int(1) });
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

/** Calls `make` the first time its value is asked for: nodes that nobody reads are not emitted. */
function once(make: () => string): () => string {
  let made: string | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
