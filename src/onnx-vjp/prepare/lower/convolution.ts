import { constantOf } from "../../graph/constant.ts";
import {
  type Attribute,
  intAttribute,
  ints,
  intsAttribute,
  type Node,
  sizeOf,
  stringAttribute,
} from "../../graph/ir.ts";
import { reachOf, type Window, windowAttributes, windowCounts, windowOf } from "../../graph/window.ts";
import type { Lowering, LoweringTable } from "./lowering.ts";

/**
 * auto_pad, and ConvTranspose's output_shape, as explicit pads: WebGPU gets SAME with stride wrong, and the
 * pullback rules read pads alone. What ONNX leaves open is done as ONNX Runtime does it.
 */
const explicitPads: Lowering = ({ node, b, type }) => {
  const mode = stringAttribute(node, "auto_pad", "NOTSET");
  const asked = node.attributes.output_shape !== undefined;
  if (mode === "NOTSET" && !asked) return undefined;
  const space = type(node.inputs[0]).dims.slice(2);
  const out = type(node.outputs[0]).dims.slice(2);
  const window = windowOf(node, intsAttribute(node, "kernel_shape") ?? type(node.inputs[1]).dims.slice(2));
  const extra = intsAttribute(node, "output_padding") ?? space.map(() => 0);
  const attributes: Record<string, Attribute> = { ...node.attributes };
  delete attributes.auto_pad;
  delete attributes.output_shape;
  // How far the windows reach over the side that they are laid on.
  const totals = reachOf(window).map((reach, i) =>
    node.op === "ConvTranspose"
      ? (space[i] - 1) * window.strides[i] + reach + 1 + extra[i] - out[i]
      : (out[i] - 1) * window.strides[i] + reach + 1 - space[i],
  );
  if (mode === "VALID" && !asked) {
    delete attributes.pads;
  } else {
    const less = totals.map((total) => Math.floor(Math.max(0, total) / 2));
    const more = totals.map((total, i) => Math.max(0, total) - less[i]);
    // The odd one goes to the end with SAME_UPPER, to the beginning otherwise.
    attributes.pads = ints(mode === "SAME_UPPER" ? [...less, ...more] : [...more, ...less]);
    delete attributes.ceil_mode;
    if (node.op === "ConvTranspose") {
      attributes.output_padding = ints(extra.map((p, i) => p + Math.max(0, -totals[i])));
    }
  }
  return b.ops(node.op, node.inputs, node.outputs.length, attributes);
};

/** Pads at the ends that the windows reach: with ceil_mode the last may reach behind the declared ones. */
function reachedEnd(window: Window, space: readonly number[], out: readonly number[]): number[] {
  return reachOf(window).map((reach, i) =>
    Math.max(0, (out[i] - 1) * window.strides[i] + reach + 1 - space[i] - window.begin[i]),
  );
}

const isSet = (node: Node, key: string): boolean => intAttribute(node, key, 0) === 1;

/**
 * ceil_mode as pads up to where the windows reach. A last window that would begin behind the image is dropped by
 * ONNX Runtime's kernels, as by PyTorch's, but not by its shape inference, which then finds dimensions that do not fit.
 */
const withoutCeilMode: Lowering = ({ node, b, type }) => {
  if (!isSet(node, "ceil_mode")) return undefined;
  const window = windowOf(node, intsAttribute(node, "kernel_shape")!);
  const end = reachedEnd(window, type(node.inputs[0]).dims.slice(2), type(node.outputs[0]).dims.slice(2));
  // ONNX Runtime takes no pads of a whole kernel, beyond which dilated windows may reach.
  if (end.some((pad, i) => pad >= window.kernel[i])) return undefined;
  const { ceil_mode: _, ...attributes } = node.attributes;
  return b.ops(node.op, node.inputs, node.outputs.length, {
    ...attributes,
    pads: ints([...window.begin, ...end]),
  });
};

const pool: Lowering = (context) => explicitPads(context) ?? withoutCeilMode(context);

/**
 * A convolution with ones, divided by what it counts, for two means: dilations are newer than the target, and where
 * padding counts but what ceil_mode adds does not, ONNX Runtime's blocked kernel divides by the whole window.
 */
const averagePool: Lowering = (context) => {
  const { node, b, type } = context;
  const { dilations, ...attributes } = node.attributes;
  const dilated = intsAttribute(node, "dilations")?.some((d) => d !== 1) ?? false;
  const plain = { ...context, node: dilated ? node : { ...node, attributes } };
  const explicit = explicitPads(plain);
  if (explicit && !dilated) return explicit;
  const padded = explicit ? b.graph.nodes.pop()! : node;
  const [, channels, ...space] = type(node.inputs[0]).dims as [number, number, ...number[]];
  const out = type(node.outputs[0]).dims.slice(2);
  const window = windowOf(padded, intsAttribute(node, "kernel_shape")!);
  const end = reachedEnd(window, space, out);
  const padding = isSet(node, "count_include_pad");
  const countsLess = padding && end.some((pad, i) => pad > window.end[i]);
  if (!dilated && !countsLess)
    return withoutCeilMode(plain) ?? (dilations && [b.op(node.op, node.inputs, attributes)]);
  const counts = windowCounts(window, space, out, padding);
  const dims = [channels, 1, ...window.kernel];
  const ones = b.constant(constantOf("float32", dims, new Float32Array(sizeOf(dims)).fill(1)));
  const sums = b.op("Conv", [node.inputs[0], ones], windowAttributes({ ...window, end }, channels));
  const shares = b.floats(
    [1, 1, ...out],
    counts.map((n) => 1 / n),
  );
  return [b.op("Mul", [sums, shares])];
};

export const convolutionLowerings: LoweringTable = {
  Conv: explicitPads,
  ConvTranspose: explicitPads,
  MaxPool: pool,
  AveragePool: averagePool,
  LpPool: pool,
};
