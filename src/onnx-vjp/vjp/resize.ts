import { constantOf, numbersOf } from "../graph/constant.ts";
import { type Attributes, float, fromFront, intsAttribute, sizeOf, stringAttribute } from "../graph/ir.ts";
import { contractAxis, type Matrix, sameDims } from "./reshaping.ts";
import type { RuleContext, RuleTable } from "./rule.ts";
import { integersOf, uncovered } from "./uncovered.ts";

export const resizeRules: RuleTable = {
  /**
   * Every mode of Resize is linear and separable: y = A_h x A_wᵀ. The pullback multiplies by the transposed
   * matrices, one axis after the other, the last axis first.
   */
  Resize: (c, [dy]) => {
    const dims = c.inputDims(0);
    const size = [...c.outputDims(0)];
    if (crops(c) && c.needs(1)) throw uncovered(c.node, "computes what it crops to from the image");
    if (sameDims(dims, size) && !crops(c)) return c.node.inputs.map((_, i) => (i === 0 ? dy! : null));
    let dx = dy!;
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      const matrix = interpolation(c, axis);
      if (matrix === undefined) continue;
      dx = contractAxis(c.b, dx, size, axis, matrix);
      size[axis] = dims[axis];
    }
    return c.node.inputs.map((_, i) => (i === 0 ? dx : null));
  },
};

/** Numbers of an interpolation matrix, at most: 256 MiB, an axis of 8,192. */
const mostElements = 2 ** 26;

/**
 * The interpolation matrix of one axis (output size × input size), or undefined where the axis stays as it is:
 * what the same Resize makes of the rows of an identity matrix. ONNX Runtime computes it once, when the
 * graph is loaded, with the arithmetic of the forward itself; so all of its modes, roundings, antialiasing
 * and border rules are differentiated exactly.
 */
function interpolation(c: RuleContext, axis: number): Matrix | undefined {
  const { b, node } = c;
  const from = c.inputDims(0)[axis];
  const to = c.outputDims(0)[axis];
  const axes = intsAttribute(node, "axes") ?? [...c.inputDims(0).keys()];
  const k = axes.findIndex((a) => fromFront(a, c.inputDims(0).length) === axis);
  if (k === -1) return undefined;
  const { dtype } = c.type(node.inputs[0]);
  const scales = c.constant(node.inputs[2] ?? "");
  const attributes: Attributes = Object.fromEntries(
    Object.entries(node.attributes).filter(([key]) => key !== "axes" && key !== "keep_aspect_ratio_policy"),
  );
  const region = crops(c) ? regionOf(c, k, axes.length) : undefined;
  const given = scales && sizeOf(scales.dims) > 0 ? numbersOf(scales)[k] : undefined;
  const isWhole = region === undefined || (region[0] === 0 && region[1] === 1);
  if (isWhole && (given === 1 || (given === undefined && from === to))) return undefined;
  // ONNX Runtime copies where no size changes, which the identity matrix would meet and the image does not.
  if (isWhole && from === to)
    throw uncovered(node, `scales axis ${axis} by ${given} without changing its size`);
  if (given === undefined && stringAttribute(node, "keep_aspect_ratio_policy", "stretch") !== "stretch") {
    throw uncovered(node, "keeps the aspect ratio of its sizes");
  }
  if (given === undefined && integersOf(c, 3) === undefined)
    throw uncovered(node, "has neither scales nor sizes");
  if (from * Math.max(from, to) > mostElements)
    throw uncovered(node, `resizes axis ${axis} from ${from} to ${to} by a matrix that is too large to make`);
  const identity = new Float32Array(from * from);
  for (let i = 0; i < from; i++) identity[i * (from + 1)] = 1;
  const eye = b.constant(constantOf(dtype, [1, 1, from, from], identity));
  const roi =
    region === undefined ? "" : b.constant(constantOf(dtype, [8], [0, 0, region[0], 0, 1, 1, region[1], 1]));
  const matrix = b.op(
    "Resize",
    given === undefined
      ? [eye, roi, "", b.ints([1, 1, to, from])]
      : [eye, roi, b.floats([4], [1, 1, given, 1])],
    // What is beside the image is a constant.
    region === undefined ? attributes : { ...attributes, extrapolation_value: float(0) },
  );
  const flat = b.reshape(matrix, [to, from]);
  return {
    rows: to,
    columns: from,
    name: (transposed) => (transposed ? b.transpose(flat, [1, 0]) : flat),
  };
}

const crops = (c: RuleContext): boolean =>
  stringAttribute(c.node, "coordinate_transformation_mode", "half_pixel") === "tf_crop_and_resize";

/** The part of the `k`-th resized axis of `count` that a crop takes, as shares of its length. */
function regionOf(c: RuleContext, k: number, count: number): [number, number] {
  const roi = c.constant(c.node.inputs[1] ?? "");
  if (roi === undefined) throw uncovered(c.node, "computes what it crops to from the image");
  const numbers = numbersOf(roi);
  return [numbers[k], numbers[k + count]];
}
