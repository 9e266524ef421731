import { constantOf } from "../constant.ts";
import { type Attribute, intAttribute, ints, intsAttribute, sizeOf, stringAttribute } from "../ir.ts";
import { reachOf, windowAttributes, windowCounts, windowOf } from "../window.ts";
import type { Lowering, LoweringTable } from "./lowering.ts";

/**
 * auto_pad, and ConvTranspose's output_shape, as explicit pads: WebGPU gets SAME with stride wrong, and the
 * pullback rules read pads alone. What ONNX leaves open is done as ONNX Runtime does it.
 */
const explicitPads: Lowering = ({ node, b, type }) => {
  const mode = stringAttribute(node, "auto_pad", "NOTSET");
  const asked = node.attributes.output_shape !== undefined;
  if (mode === "NOTSET" && !asked) return undefined;
  const space = type(node.inputs[0]!).dims.slice(2);
  const out = type(node.outputs[0]!).dims.slice(2);
  const window = windowOf(node, intsAttribute(node, "kernel_shape") ?? type(node.inputs[1]!).dims.slice(2));
  const extra = intsAttribute(node, "output_padding") ?? space.map(() => 0);
  const attributes: Record<string, Attribute> = { ...node.attributes };
  delete attributes.auto_pad;
  delete attributes.output_shape;
  // How far the windows reach over the side that they are laid on.
  const totals = reachOf(window).map((reach, i) =>
    node.op === "ConvTranspose"
      ? (space[i]! - 1) * window.strides[i]! + reach + 1 + extra[i]! - out[i]!
      : (out[i]! - 1) * window.strides[i]! + reach + 1 - space[i]!,
  );
  if (mode === "VALID" && !asked) {
    delete attributes.pads;
  } else {
    const less = totals.map((total) => Math.floor(Math.max(0, total) / 2));
    const more = totals.map((total, i) => Math.max(0, total) - less[i]!);
    // The odd one goes to the end with SAME_UPPER, to the beginning otherwise.
    attributes.pads = ints(mode === "SAME_UPPER" ? [...less, ...more] : [...more, ...less]);
    delete attributes.ceil_mode;
    if (node.op === "ConvTranspose") {
      attributes.output_padding = ints(extra.map((p, i) => p + Math.max(0, -totals[i]!)));
    }
  }
  return b.ops(node.op, node.inputs, node.outputs.length, attributes);
};

/** Dilations are newer than the target: a dilated mean is a convolution with ones, divided by what it counts. */
const averagePool: Lowering = (context) => {
  const { node, b, type } = context;
  const { dilations, ...attributes } = node.attributes;
  const plain = { ...node, attributes };
  if (dilations === undefined) return explicitPads(context);
  if (intsAttribute(node, "dilations")!.every((d) => d === 1)) {
    return explicitPads({ ...context, node: plain }) ?? [b.op(node.op, node.inputs, attributes)];
  }
  const padded = explicitPads(context) === undefined ? node : b.graph.nodes.pop()!;
  const [, channels, ...space] = type(node.inputs[0]!).dims as [number, number, ...number[]];
  const out = type(node.outputs[0]!).dims.slice(2);
  const window = windowOf(padded, intsAttribute(node, "kernel_shape")!);
  const counts = windowCounts(window, space, out, intAttribute(node, "count_include_pad", 0) === 1);
  // With ceil_mode the last window may reach behind the declared padding.
  const end = reachOf(window).map((reach, i) =>
    Math.max(0, (out[i]! - 1) * window.strides[i]! + reach + 1 - space[i]! - window.begin[i]!),
  );
  const dims = [channels, 1, ...window.kernel];
  const ones = b.constant(constantOf("float32", dims, new Float32Array(sizeOf(dims)).fill(1)));
  const sums = b.op("Conv", [node.inputs[0]!, ones], windowAttributes({ ...window, end }, channels));
  const shares = b.floats(
    [1, 1, ...out],
    counts.map((n) => 1 / n),
  );
  return [b.op("Mul", [sums, shares])];
};

export const convolutionLowerings: LoweringTable = {
  Conv: explicitPads,
  ConvTranspose: explicitPads,
  MaxPool: explicitPads,
  AveragePool: averagePool,
  LpPool: explicitPads,
};
