import type { Preprocessing } from "../images/preprocess.ts";
import type { Interpolation } from "../images/resample.ts";
import type { GraphBuilder } from "../onnx-vjp/graph/builder.ts";
import { int } from "../onnx-vjp/graph/ir.ts";

/**
 * Writes `preprocess` (src/images/preprocess.ts) as graph nodes: resize and center crop of images of any size, as two
 * matrix products whose matrices hold the taps of Pillow's filters. The Resize operator is not used: its antialiased form
 * is missing on WebGPU, and it rounds sizes in other ways than torchvision.
 *
 * After each pass values are rounded to 8 bits, as Pillow does: an image becomes the same input here and there, but for
 * the fixed-point weights of Pillow.
 *
 * @param pixels images [batch, c, H, W] in [0, 1]
 * @returns the encoder's input [batch, c, crop height, crop width] in [0, 1]
 */
export function writeResample(b: GraphBuilder, pixels: string, preprocessing: Preprocessing): string {
  const { resize, crop, cropOffset, interpolation } = preprocessing;
  const shape = b.op("Shape", [pixels]);
  const [height, width] = [2, 3].map((axis) => b.op("Slice", [shape, b.ints([axis]), b.ints([axis + 1])]));
  const shorter = b.op("Min", [height, width]);
  /** The length after the resize, an int64 of one element; whole numbers are divided as `Math.trunc` does. */
  const resized = (length: string, axis: 0 | 1): string => {
    if (resize === null) return length;
    if (typeof resize !== "number") return b.ints([resize[axis]]);
    return b.op("Div", [b.op("Mul", [length, b.ints([resize])]), shorter]);
  };
  const matrix = (length: string, axis: 0 | 1): string => {
    const to = resized(length, axis);
    const offset = cropStart(b, to, crop[axis], cropOffset);
    return tapMatrix(b, { from: length, to, offset, count: crop[axis] }, interpolation, axis === 1);
  };
  const across = b.op("MatMul", [pixels, b.op("Mul", [matrix(width, 1), b.scalar(255)])]);
  const down = b.op("MatMul", [matrix(height, 0), toBytes(b, across)]);
  return b.op("Mul", [toBytes(b, down), b.scalar(1 / 255)]);
}

/** Values in [0, 255], rounded half up. */
function toBytes(b: GraphBuilder, values: string): string {
  const clipped = b.op("Clip", [values, b.scalar(0), b.scalar(255)]);
  return b.op("Floor", [b.op("Add", [clipped, b.scalar(0.5)])]);
}

/**
 * Where the crop begins on an axis of `to` pixels, an int64 of one element: negative where the crop is the longer, and black
 * comes first. As `cropAxis` of src/images/preprocess.ts.
 */
function cropStart(b: GraphBuilder, to: string, crop: number, offset: Preprocessing["cropOffset"]): string {
  const margin = b.op("Sub", [to, b.ints([crop])]);
  const two = b.ints([2]);
  // Whole numbers are divided towards zero.
  const half = b.op("Div", [margin, two]);
  if (offset === "floor") return half;
  // A half rounds to the even neighbor, above where the lower one is odd.
  const remainder = (value: string, halved: string) => b.op("Sub", [value, b.op("Mul", [halved, two])]);
  const isHalf = b.op("Max", [remainder(margin, half), b.ints([0])]);
  const isOdd = remainder(half, b.op("Div", [half, two]));
  return b.op("Add", [half, b.op("Mul", [isHalf, isOdd])]);
}

/** A part of a resized axis. `from`, `to` and `offset` name int64 values of one element. */
interface Axis {
  readonly from: string;
  readonly to: string;
  readonly offset: string;
  /** Pixels of the part. */
  readonly count: number;
}

/** The matrix that resizes an axis and cuts the part out, [count, from]; transposed [from, count]. */
function tapMatrix(b: GraphBuilder, axis: Axis, interpolation: Interpolation, transposed: boolean): string {
  const toFloat = (value: string) => b.op("Cast", [value], { to: int(1) });
  const [from, to, offset] = [axis.from, axis.to, axis.offset].map(toFloat);
  const outputs = b.floats(
    transposed ? [1, axis.count] : [axis.count, 1],
    Float32Array.from({ length: axis.count }, (_, i) => i),
  );
  const i = b.op("Add", [outputs, offset]);
  const scalarFrom = b.op("Squeeze", [axis.from, b.ints([0])]);
  const inputs = b.op("Range", [
    b.constant({ dtype: "int64", dims: [], bytes: new Uint8Array(8) }),
    scalarFrom,
    b.constant({ dtype: "int64", dims: [], bytes: Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0) }),
  ]);
  const j = b.op("Unsqueeze", [toFloat(inputs), b.ints([transposed ? 1 : 0])]);
  const odd = (value: string) => b.op("Add", [b.op("Add", [value, value]), b.scalar(1)]);
  // (j + ½ − (i + ½) · from/to) / max(from/to, 1), whose numerator is a difference of whole numbers: exact in float32 as
  // long as the two sizes' product is below 2²³.
  const distance = b.op("Sub", [b.op("Mul", [odd(j), to]), b.op("Mul", [odd(i), from])]);
  const larger = toFloat(b.op("Max", [axis.from, axis.to]));
  const x = b.op("Div", [distance, b.op("Add", [larger, larger])]);
  const weights = filterOf[interpolation](b, x);
  const sum = b.reduceSum(weights, [transposed ? 0 : 1], true);
  // Rows beyond the resized image are black.
  const zero = b.scalar(0);
  const inside = b.op("Where", [
    b.op("Less", [i, zero]),
    zero,
    b.op("Where", [b.op("Less", [i, to]), b.op("Div", [b.scalar(1), sum]), zero]),
  ]);
  return b.op("Mul", [weights, inside]);
}

/** The filters of src/images/resample.ts, of distances in units of the (widened) pixel. */
const filterOf: Readonly<Record<Interpolation, (b: GraphBuilder, x: string) => string>> = {
  box: (b, x) =>
    b.op("Where", [
      b.op("Greater", [x, b.scalar(0.5)]),
      b.scalar(0),
      b.op("Where", [b.op("Greater", [x, b.scalar(-0.5)]), b.scalar(1), b.scalar(0)]),
    ]),
  bilinear: (b, x) => b.op("Relu", [b.op("Sub", [b.scalar(1), b.op("Abs", [x])])]),
  bicubic: (b, x) => {
    const a = -0.5;
    const size = b.op("Abs", [x]);
    const polynomial = (coefficients: readonly number[]) =>
      coefficients
        .slice(1)
        .reduce((sum, c) => b.op("Add", [b.op("Mul", [sum, size]), b.scalar(c)]), b.scalar(coefficients[0]));
    const near = polynomial([a + 2, -(a + 3), 0, 1]);
    const far = polynomial([a, -5 * a, 8 * a, -4 * a]);
    const below = (limit: number) => b.op("Less", [size, b.scalar(limit)]);
    return b.op("Where", [below(1), near, b.op("Where", [below(2), far, b.scalar(0)])]);
  },
  hamming: (b, x) => {
    const size = b.op("Abs", [x]);
    const cosine = b.op("Cos", [b.op("Mul", [size, b.scalar(Math.PI)])]);
    const window = b.op("Add", [b.op("Mul", [cosine, b.scalar(0.46)]), b.scalar(0.54)]);
    const value = b.op("Mul", [sinc(b, size), window]);
    return b.op("Where", [b.op("Less", [size, b.scalar(1)]), value, b.scalar(0)]);
  },
  lanczos: (b, x) => {
    const size = b.op("Abs", [x]);
    const value = b.op("Mul", [sinc(b, size), sinc(b, b.op("Div", [size, b.scalar(3)]))]);
    return b.op("Where", [b.op("Less", [size, b.scalar(3)]), value, b.scalar(0)]);
  },
};

/** sin(πx)/(πx) for x ≥ 0. */
function sinc(b: GraphBuilder, x: string): string {
  const angle = b.op("Mul", [x, b.scalar(Math.PI)]);
  const quotient = b.op("Div", [b.op("Sin", [angle]), angle]);
  return b.op("Where", [b.op("Less", [x, b.scalar(1e-6)]), b.scalar(1), quotient]);
}
