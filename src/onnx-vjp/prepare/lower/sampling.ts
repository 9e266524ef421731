import type { GraphBuilder } from "../../graph/builder.ts";
import { constantOf, numbersOf } from "../../graph/constant.ts";
import { protoOfDataType } from "../../graph/data-type.ts";
import {
  type DataType,
  floatAttribute,
  int,
  intAttribute,
  intsAttribute,
  sizeOf,
  stringAttribute,
} from "../../graph/ir.ts";
import { reachOf, windowOf } from "../../graph/window.ts";
import type { Lowering, LoweringTable } from "./lowering.ts";

/** What is read beside an image: nothing, its nearest border, or its mirror image. */
type Padding = "zeros" | "border" | "reflection";

interface Image {
  /** [batch, channels, …space] as [batch, channels, size of the space] */
  readonly value: string;
  readonly batch: number;
  readonly channels: number;
  readonly space: readonly number[];
  readonly dtype: DataType;
}

/** Arithmetic on positions, a node per call. */
class Positions {
  readonly b: GraphBuilder;
  private readonly dtype: DataType;

  constructor(b: GraphBuilder, dtype: DataType) {
    this.b = b;
    this.dtype = dtype;
  }

  private name = (x: string | number): string => (typeof x === "number" ? this.b.scalar(x, this.dtype) : x);

  op = (op: string, ...inputs: (string | number)[]): string => this.b.op(op, inputs.map(this.name));

  /** Between two bounds, which get no gradient from beyond. */
  clipped = (x: string, low: number, high: number): string =>
    this.b.op("Clip", [x, this.name(low), this.name(high)]);

  /** 1 where both bounds are kept, else 0. */
  inside(x: string, low: number, high: number): string {
    const kept = this.op("And", this.op("GreaterOrEqual", x, low), this.op("LessOrEqual", x, high));
    return this.b.op("Cast", [kept], { to: int(protoOfDataType(this.dtype)) });
  }

  /** Mirrored at `low` and `high` until it is between them. */
  reflected(x: string, low: number, high: number): string {
    const span = high - low;
    if (span <= 0) return this.op("Mul", x, 0);
    const distance = this.op("Abs", this.op("Sub", x, low));
    const turns = this.op("Floor", this.op("Div", distance, span));
    const rest = this.op("Sub", distance, this.op("Mul", turns, span));
    const halves = this.op("Mul", this.op("Floor", this.op("Mul", turns, 0.5)), 2);
    const isEven = this.op("Equal", this.op("Sub", turns, halves), 0);
    return this.op("Add", this.op("Where", isEven, rest, this.op("Sub", span, rest)), low);
  }
}

/** The taps of an interpolation along one axis: where they are, and what each counts. */
type Taps = readonly { readonly at: string; readonly weight: string | undefined }[];

const tapsOf: Readonly<Record<string, (p: Positions, x: string) => Taps>> = {
  nearest: (p, x) => [{ at: p.op("Round", x), weight: undefined }],
  linear(p, x) {
    const at = p.op("Floor", x);
    const rest = p.op("Sub", x, at);
    return [
      { at, weight: p.op("Sub", 1, rest) },
      { at: p.op("Add", at, 1), weight: rest },
    ];
  },
  // Keys' cubic convolution with a = −0.75, as PyTorch and ONNX Runtime have it.
  cubic(p, x) {
    const a = -0.75;
    const floor = p.op("Floor", x);
    const rest = p.op("Sub", x, floor);
    const near = (t: string) =>
      p.op("Add", p.op("Mul", p.op("Mul", p.op("Sub", p.op("Mul", t, a + 2), a + 3), t), t), 1);
    const far = (t: string) => {
      const inner = p.op("Add", p.op("Mul", p.op("Sub", p.op("Mul", t, a), 5 * a), t), 8 * a);
      return p.op("Sub", p.op("Mul", inner, t), 4 * a);
    };
    const other = p.op("Sub", 1, rest);
    return [
      { at: p.op("Sub", floor, 1), weight: far(p.op("Add", rest, 1)) },
      { at: floor, weight: near(rest) },
      { at: p.op("Add", floor, 1), weight: near(other) },
      { at: p.op("Add", floor, 2), weight: far(p.op("Add", other, 1)) },
    ];
  },
};

/**
 * The image at positions between its pixels: [batch, channels, points].
 * @param at positions along each axis of the space, [batch, 1, points]
 * @param onTap how a tap beside the image is read, where positions themselves are not moved
 */
function sampled(
  p: Positions,
  image: Image,
  at: readonly string[],
  points: number,
  mode: string,
  onTap: (position: string, axis: number) => string = (position) => position,
): string {
  const { b } = p;
  const { batch, channels, space } = image;
  const axes = at.map((x) => tapsOf[mode](p, x));
  let sum: string | undefined;
  const corners = axes.reduce<Taps[]>(
    (all, taps) => all.flatMap((corner) => taps.map((tap) => [...corner, tap])),
    [[]],
  );
  for (const corner of corners) {
    let index: string | undefined;
    const weights: string[] = [];
    for (const [axis, { at: tap, weight }] of corner.entries()) {
      const position = onTap(tap, axis);
      const size = space[axis];
      weights.push(...(weight === undefined ? [] : [weight]), p.inside(position, 0, size - 1));
      const kept = p.clipped(position, 0, size - 1);
      index = index === undefined ? kept : p.op("Add", p.op("Mul", index, size), kept);
    }
    const whole = b.op("Cast", [index!], { to: int(protoOfDataType("int64")) });
    const rows = b.op("Expand", [whole, b.ints([batch, channels, points])]);
    const values = b.op("GatherElements", [image.value, rows], { axis: int(2) });
    const part = p.op(
      "Mul",
      values,
      weights.reduce((a, weight) => p.op("Mul", a, weight)),
    );
    sum = sum === undefined ? part : p.op("Add", sum, part);
  }
  return sum!;
}

/** Names of modes before operator set 20. */
const olderModes: Readonly<Record<string, string>> = { bilinear: "linear", bicubic: "cubic" };

/** GridSample of images and volumes: the image's pixels and the grid get gradients. */
const gridSample: Lowering = ({ node, b, type }) => {
  const [x, grid] = node.inputs as readonly [string, string];
  const { dims, dtype } = type(x);
  const [batch, channels, ...space] = dims as [number, number, ...number[]];
  const named = stringAttribute(node, "mode", "linear");
  const mode = olderModes[named] ?? named;
  const padding = stringAttribute(node, "padding_mode", "zeros") as Padding;
  const isAligned = intAttribute(node, "align_corners", 0) === 1;
  const out = type(grid).dims.slice(1, -1);
  const points = sizeOf(out);
  const p = new Positions(b, dtype);
  const flat = b.reshape(b.transpose(b.reshape(grid, [batch, points, space.length]), [0, 2, 1]), [
    ...[batch, space.length, points],
  ]);
  const bounds = (axis: number): [number, number] =>
    isAligned ? [0, space[axis] - 1] : [-0.5, space[axis] - 0.5];
  const moved = (position: string, axis: number): string => {
    if (padding === "zeros") return position;
    const mirrored = padding === "border" ? position : p.reflected(position, ...bounds(axis));
    return p.clipped(mirrored, 0, space[axis] - 1);
  };
  // −1 and 1 are the image's edges, or the centers of its outermost pixels. The last axis of the space comes first.
  const at = space.map((size, axis) => {
    const place = space.length - 1 - axis;
    const own = b.op("Slice", [flat, b.ints([place]), b.ints([place + 1]), b.ints([1])]);
    const unit = p.op("Add", own, 1);
    return isAligned ? p.op("Mul", unit, (size - 1) / 2) : p.op("Sub", p.op("Mul", unit, size / 2), 0.5);
  });
  const image = { value: b.reshape(x, [batch, channels, sizeOf(space)]), batch, channels, space, dtype };
  // A cubic's taps are moved one by one; other modes have none but beside the position itself.
  const values =
    mode === "cubic"
      ? sampled(p, image, at, points, mode, moved)
      : sampled(
          p,
          image,
          at.map(mode === "nearest" ? (x) => x : moved),
          points,
          mode,
          mode === "nearest" ? moved : undefined,
        );
  return [b.reshape(values, [batch, channels, ...out])];
};

/** DeformConv: each tap of the kernel reads its own place in the image, and a product puts them together. */
const deformConv: Lowering = ({ node, b, type }) => {
  const [x, weight, offset, bias = "", mask = ""] = node.inputs as readonly [
    string,
    string,
    string,
    string?,
    string?,
  ];
  const { dims, dtype } = type(x);
  if (dims.length !== 4) return undefined;
  const [batch, channels, ...space] = dims as [number, number, number, number];
  const [outChannels, inGroup, ...kernel] = type(weight).dims as [number, number, number, number];
  const out = type(offset).dims.slice(2) as [number, number];
  const { strides, dilations, begin } = windowOf(node, intsAttribute(node, "kernel_shape") ?? kernel);
  const [groups, offsetGroups] = [intAttribute(node, "group", 1), intAttribute(node, "offset_group", 1)];
  const [taps, places] = [sizeOf(kernel), sizeOf(out)];
  const points = taps * places;
  const rows = batch * offsetGroups;
  const p = new Positions(b, dtype);
  const offsets = b.reshape(offset, [rows, taps, 2, places]);
  const at = [0, 1].map((axis) => {
    const own = b.op("Slice", [offsets, b.ints([axis]), b.ints([axis + 1]), b.ints([2])]);
    const base = Float64Array.from({ length: points }, (_, i) => {
      const tap = Math.floor(i / places);
      const place = i % places;
      const t = axis === 0 ? Math.floor(tap / kernel[1]) : tap % kernel[1];
      const o = axis === 0 ? Math.floor(place / out[1]) : place % out[1];
      return o * strides[axis] - begin[axis] + t * dilations[axis];
    });
    return p.op(
      "Add",
      b.reshape(own, [rows, 1, points]),
      b.constant(constantOf(dtype, [1, 1, points], base)),
    );
  });
  const own = channels / offsetGroups;
  const value = b.reshape(x, [rows, own, sizeOf(space)]);
  let columns = sampled(p, { value, batch: rows, channels: own, space, dtype }, at, points, "linear");
  if (mask !== "") columns = p.op("Mul", columns, b.reshape(mask, [rows, 1, points]));
  const inner = inGroup * taps;
  const product = b.op("MatMul", [
    b.reshape(weight, [groups, outChannels / groups, inner]),
    b.reshape(columns, [batch, groups, inner, places]),
  ]);
  const y = b.reshape(product, [batch, outChannels, ...out]);
  return [bias === "" ? y : b.op("Add", [y, b.reshape(bias, [outChannels, 1, 1])])];
};

/** Col2Im: the sum of overlapping blocks, as a transposed convolution whose kernels have a single one. */
const col2Im: Lowering = ({ node, b, type, constant }) => {
  const [x, imageInput, blockInput] = node.inputs as readonly [string, string, string];
  const [imageShape, blockShape] = [constant(imageInput), constant(blockInput)];
  if (imageShape === undefined || blockShape === undefined) return undefined;
  const image = Array.from(numbersOf(imageShape));
  const block = Array.from(numbersOf(blockShape));
  const { dims, dtype } = type(x);
  const window = windowOf(node, block);
  const reach = reachOf(window);
  const blocks = image.map(
    (size, i) => Math.floor((size + window.begin[i] + window.end[i] - reach[i] - 1) / window.strides[i]) + 1,
  );
  const taps = sizeOf(block);
  const channels = dims[1] / taps;
  const ones = new Float64Array(channels * taps * taps);
  for (let row = 0; row < channels * taps; row++) ones[row * taps + (row % taps)] = 1;
  const weight = b.constant(constantOf(dtype, [channels * taps, 1, ...block], ones));
  const rest = image.map(
    (size, i) =>
      size + window.begin[i] + window.end[i] - ((blocks[i] - 1) * window.strides[i] + reach[i] + 1),
  );
  return [
    b.op("ConvTranspose", [b.reshape(x, [dims[0], dims[1], ...blocks]), weight], {
      group: int(channels),
      kernel_shape: { kind: "ints", value: block },
      strides: { kind: "ints", value: window.strides },
      dilations: { kind: "ints", value: window.dilations },
      pads: { kind: "ints", value: [...window.begin, ...window.end] },
      output_padding: { kind: "ints", value: rest },
    }),
  ];
};

/** AffineGrid: θ on the grid of an image's pixel centers, or of its edges. */
const affineGrid: Lowering = ({ node, b, type, constant }) => {
  const [theta, sizeInput] = node.inputs as readonly [string, string];
  const size = constant(sizeInput);
  if (size === undefined) return undefined;
  const [batch, , ...space] = Array.from(numbersOf(size)) as [number, number, ...number[]];
  const isAligned = intAttribute(node, "align_corners", 0) === 1;
  const points = sizeOf(space);
  const coordinates = space.map((n) =>
    Array.from({ length: n }, (_, i) => {
      if (isAligned) return n === 1 ? -1 : (2 * i) / (n - 1) - 1;
      return (2 * i + 1) / n - 1;
    }),
  );
  const rank = space.length;
  const base = new Float64Array(points * (rank + 1)).fill(1);
  for (let i = 0; i < points; i++) {
    let rest = i;
    for (let axis = rank - 1; axis >= 0; axis--) {
      base[i * (rank + 1) + rank - 1 - axis] = coordinates[axis][rest % space[axis]]!;
      rest = Math.floor(rest / space[axis]);
    }
  }
  const { dtype } = type(theta);
  const grid = b.op("MatMul", [
    b.constant(constantOf(dtype, [points, rank + 1], base)),
    b.transpose(theta, [0, 2, 1]),
  ]);
  return [b.reshape(grid, [batch, ...space, rank])];
};

/** RoiAlign's means over regular points; its adaptive count and its maxima stay. */
const roiAlign: Lowering = ({ node, b, type, opset }) => {
  const [x, rois, batchIndices] = node.inputs as readonly [string, string, string];
  const count = intAttribute(node, "sampling_ratio", 0);
  if (count <= 0 || stringAttribute(node, "mode", "avg") !== "avg") return undefined;
  const { dims, dtype } = type(x);
  const [batch, channels, ...space] = dims as [number, number, number, number];
  const regions = type(rois).dims[0];
  const out = [intAttribute(node, "output_height", 1), intAttribute(node, "output_width", 1)];
  const halfPixel =
    opset >= 16 && stringAttribute(node, "coordinate_transformation_mode", "half_pixel") === "half_pixel";
  const scale = floatAttribute(node, "spatial_scale", 1);
  const p = new Positions(b, dtype);
  const points = sizeOf(out) * count * count;
  const corner = (i: number) => {
    const own = b.op("Slice", [rois, b.ints([i]), b.ints([i + 1]), b.ints([1])]);
    const scaled = p.op("Mul", own, scale);
    return b.reshape(halfPixel ? p.op("Sub", scaled, 0.5) : scaled, [regions, 1, 1]);
  };
  let inside: string | undefined;
  const at = [0, 1].map((axis) => {
    const [start, end] = [corner(1 - axis), corner(3 - axis)];
    const length = p.op("Sub", end, start);
    const size = halfPixel ? length : p.op("Max", length, 1);
    // Where in the region a point is, as a share of it: the points of a cell come one after another.
    const shares = Float64Array.from({ length: points }, (_, i) => {
      const cell = Math.floor(i / (count * count));
      const point = i % (count * count);
      const [c, s] =
        axis === 0 ? [Math.floor(cell / out[1]), Math.floor(point / count)] : [cell % out[1], point % count];
      return (c + (s + 0.5) / count) / out[axis];
    });
    const position = p.op(
      "Add",
      start,
      p.op("Mul", size, b.constant(constantOf(dtype, [1, 1, points], shares))),
    );
    const kept = p.inside(position, -1, space[axis]);
    inside = inside === undefined ? kept : p.op("Mul", inside, kept);
    return p.clipped(position, 0, space[axis] - 1);
  });
  const flat = b.reshape(x, [batch, channels, sizeOf(space)]);
  const value = b.op("Gather", [flat, batchIndices], { axis: int(0) });
  const values = sampled(p, { value, batch: regions, channels, space, dtype }, at, points, "linear");
  const cells = b.reshape(p.op("Mul", values, inside!), [regions, channels, sizeOf(out), count * count]);
  const means = b.op("ReduceMean", [cells, b.ints([3])], { keepdims: int(0) });
  return [b.reshape(means, [regions, channels, ...out])];
};

/** Operators that read images at computed places, and Col2Im, which puts blocks there. */
export const samplingLowerings: LoweringTable = {
  GridSample: gridSample,
  DeformConv: deformConv,
  Col2Im: col2Im,
  AffineGrid: affineGrid,
  RoiAlign: roiAlign,
};
