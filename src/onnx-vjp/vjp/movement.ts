import { constantOf } from "../graph/constant.ts";
import { fromFront, int, intAttribute, intsAttribute, stringAttribute } from "../graph/ir.ts";
import { arithmetic } from "./arithmetic.ts";
import { gatherRules } from "./gather.ts";
import {
  constantMatrix,
  contractAxis,
  dilateAxis,
  flip,
  inversePermutation,
  padZeros,
  reshaped,
  sliceAxis,
  zerosOf,
} from "./reshaping.ts";
import { type Rule, type RuleContext, type RuleTable, sumTo } from "./rule.ts";
import { integersOf, uncovered } from "./uncovered.ts";

/** The gradient of the first input, and none for the others (shapes, axes, …). */
function ofData(gradient: (c: RuleContext, dy: string) => string): Rule {
  return (c, [dy]) => {
    const dx = gradient(c, dy!);
    return c.node.inputs.map((_, i) => (i === 0 ? dx : null));
  };
}

const reshape = ofData((c, dy) => reshaped(c.b, dy, c.outputDims(0), c.inputDims(0)));

export const movementRules: RuleTable = {
  ...gatherRules,
  Reshape: reshape,
  Flatten: reshape,
  Squeeze: reshape,
  Unsqueeze: reshape,
  Expand: ofData((c, dy) => sumTo(c.b, dy, c.outputDims(0), c.inputDims(0))),
  Transpose: ofData((c, dy) => {
    const reversed = c.inputDims(0).map((_, i, { length }) => length - 1 - i);
    return c.b.transpose(dy, inversePermutation(intsAttribute(c.node, "perm") ?? reversed));
  }),

  Concat: (c, [dy]) => {
    const axis = fromFront(intAttribute(c.node, "axis", 0), c.outputDims(0).length);
    let end = 0;
    return c.node.inputs.map((_, i) => {
      const start = end;
      end += c.inputDims(i)[axis];
      return c.needs(i) ? sliceAxis(c.b, dy!, axis, start, end) : null;
    });
  },
  Split: (c, cotangents) => {
    const axis = fromFront(intAttribute(c.node, "axis", 0), c.inputDims(0).length);
    const { dtype } = c.type(c.node.inputs[0]);
    const parts = cotangents.flatMap((dy, k) => {
      if (dy !== undefined) return [dy];
      const dims = splitDims(c, axis, k);
      return dims[axis] === 0 ? [] : [zerosOf(c.b, dims, dtype)];
    });
    const dx = parts.length === 1 ? parts[0] : c.b.op("Concat", parts, { axis: int(axis) });
    return c.node.inputs.map((_, i) => (i === 0 ? dx : null));
  },
  Slice: ofData(sliceAdjoint),
  Pad: ofData(padAdjoint),
  Tile: ofData((c, dy) => {
    const repeats = integersOf(c, 1)!;
    const dims = c.inputDims(0);
    const split = dims.flatMap((d, i) => (repeats[i] === 1 ? [d] : [repeats[i], d]));
    const axes: number[] = [];
    let position = 0;
    for (const r of repeats) {
      if (r !== 1) axes.push(position++);
      position++;
    }
    return axes.length === 0 ? dy : c.b.reduceSum(c.b.reshape(dy, split), axes, false);
  }),

  DepthToSpace: ofData((c, dy) => {
    const [n, , h, w] = c.inputDims(0) as [number, number, number, number];
    const channels = c.outputDims(0)[1];
    const s = intAttribute(c.node, "blocksize", 1);
    const blocks = c.b.reshape(dy, [n, channels, h, s, w, s]);
    const columnsFirst = stringAttribute(c.node, "mode", "DCR") === "CRD";
    const order = columnsFirst ? [0, 1, 3, 5, 2, 4] : [0, 3, 5, 1, 2, 4];
    return c.b.reshape(c.b.transpose(blocks, order), c.inputDims(0));
  }),
  SpaceToDepth: ofData((c, dy) => {
    const [n, , h, w] = c.outputDims(0) as [number, number, number, number];
    const s = intAttribute(c.node, "blocksize", 1);
    const blocks = c.b.reshape(dy, [n, s, s, c.inputDims(0)[1], h, w]);
    return c.b.reshape(c.b.transpose(blocks, [0, 3, 4, 1, 5, 2]), c.inputDims(0));
  }),
  Trilu: ofData((c, dy) => {
    const [rows, columns] = c.inputDims(0).slice(-2) as [number, number];
    const k = integersOf(c, 1)?.[0] ?? 0;
    const upper = intAttribute(c.node, "upper", 1) === 1;
    const kept = Array.from({ length: rows * columns }, (_, e) => {
      const above = (e % columns) - Math.floor(e / columns);
      return (upper ? above >= k : above <= k) ? 1 : 0;
    });
    const mask = c.b.constant(constantOf("bool", [rows, columns], kept));
    return arithmetic(c.b, c.type(c.node.inputs[0]).dtype).where(mask, dy, 0);
  }),
};

/** Shape of output `k` of a Split; an output that nobody asked for ("") has no type. */
function splitDims(c: RuleContext, axis: number, k: number): number[] {
  if (c.node.outputs[k] !== "") return [...c.outputDims(k)];
  const dims = [...c.inputDims(0)];
  const parts = c.node.outputs.length;
  const even = Math.ceil(dims[axis] / parts);
  dims[axis] = integersOf(c, 1)?.[k] ?? Math.min(even, dims[axis] - even * k);
  return dims;
}

/** Puts a slice's cotangent back where it was cut out, among zeros. */
function sliceAdjoint(c: RuleContext, dy: string): string {
  const dims = c.inputDims(0);
  const size = [...c.outputDims(0)];
  if (size.includes(0)) return zerosOf(c.b, dims, c.type(c.node.inputs[0]).dtype);
  const starts = integersOf(c, 1)!;
  const axes = integersOf(c, 3) ?? starts.map((_, i) => i);
  const steps = integersOf(c, 4) ?? starts.map(() => 1);
  const before = dims.map(() => 0);
  let dx = dy;
  for (const [k, a] of axes.entries()) {
    const axis = fromFront(a, dims.length);
    const whole = dims[axis];
    const count = size[axis];
    const step = Math.abs(steps[k]);
    const backwards = steps[k] < 0;
    const start = Math.min(Math.max(fromFront(starts[k], whole), 0), backwards ? whole - 1 : whole);
    before[axis] = backwards ? start - (count - 1) * step : start;
    if (backwards) dx = flip(c.b, dx, axis, count);
    dx = dilateAxis(c.b, dx, size, axis, step);
    // The zeros behind the last element taken may reach over the end.
    size[axis] = Math.min(count * step, whole - before[axis]);
    if (size[axis] < count * step) dx = sliceAxis(c.b, dx, axis, 0, size[axis]);
  }
  return padZeros(
    c.b,
    dx,
    before,
    dims.map((d, i) => d - before[i] - size[i]),
  );
}

/** Cuts the frame off again; where the frame mirrors or repeats the image, its cotangent goes to its source. */
function padAdjoint(c: RuleContext, dy: string): string {
  const dims = c.inputDims(0);
  const pads = integersOf(c, 1)!;
  const axes = integersOf(c, 3) ?? dims.map((_, i) => i);
  const mode = stringAttribute(c.node, "mode", "constant");
  const size = [...c.outputDims(0)];
  const begins = dims.map(() => 0);
  for (const [k, a] of axes.entries()) begins[fromFront(a, dims.length)] = pads[k];
  const ends = dims.map((d, i) => size[i] - d - begins[i]);

  if (mode === "constant") {
    if (c.needs(2)) throw uncovered(c.node, "computes the value it pads with from the image");
    const framed = dims.flatMap((_, i) => (begins[i] > 0 || ends[i] > 0 ? [i] : []));
    const inner =
      framed.length === 0
        ? dy
        : c.b.op("Slice", [
            dy,
            c.b.ints(framed.map((i) => Math.max(begins[i], 0))),
            c.b.ints(framed.map((i) => size[i] - Math.max(ends[i], 0))),
            c.b.ints(framed),
          ]);
    // A negative pad has cut elements off: their cotangent is zero.
    const cut = (amounts: readonly number[]) => amounts.map((p) => Math.max(-p, 0));
    return padZeros(c.b, inner, cut(begins), cut(ends));
  }
  const { dtype } = c.type(c.node.inputs[0]);
  let dx = dy;
  for (const [axis, whole] of dims.entries()) {
    if (begins[axis] === 0 && ends[axis] === 0) continue;
    const matrix = constantMatrix(c.b, dtype, size[axis], whole, (o, i) =>
      sourceOf(mode, o - begins[axis], whole) === i ? 1 : 0,
    );
    dx = contractAxis(c.b, dx, size, axis, matrix);
    size[axis] = whole;
  }
  return dx;
}

/** The element that position `i` of a padded axis of `size` elements copies. */
function sourceOf(mode: string, i: number, size: number): number {
  if (mode === "edge") return Math.min(Math.max(i, 0), size - 1);
  if (mode === "wrap") return ((i % size) + size) % size;
  const mirrored = i < 0 ? -i : i;
  return mirrored < size ? mirrored : 2 * (size - 1) - mirrored;
}
