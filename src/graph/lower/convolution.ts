import { ModelError } from "../../errors.ts";
import { type Attribute, describeNode, intAttribute, ints, intsAttribute, stringAttribute } from "../ir.ts";
import type { Lowering, LoweringTable } from "./lowering.ts";

/** auto_pad as explicit pads: WebGPU gets SAME with stride wrong, and the pullback rules read pads alone. */
const explicitPads: Lowering = ({ node, b, type }) => {
  const mode = stringAttribute(node, "auto_pad", "NOTSET");
  if (mode === "NOTSET") return undefined;
  const dims = type(node.inputs[0]!).dims;
  const out = type(node.outputs[0]!).dims.slice(2);
  const space = dims.slice(2);
  const kernel = intsAttribute(node, "kernel_shape") ?? type(node.inputs[1]!).dims.slice(2);
  const strides = intsAttribute(node, "strides") ?? space.map(() => 1);
  const dilations = intsAttribute(node, "dilations") ?? space.map(() => 1);
  const outputPadding = intsAttribute(node, "output_padding") ?? space.map(() => 0);
  const totals = space.map((size, i) => {
    const reach = (kernel[i]! - 1) * dilations[i]! + 1;
    if (mode === "VALID") return 0;
    return node.op === "ConvTranspose"
      ? Math.max(0, (size - 1) * strides[i]! + outputPadding[i]! + reach - out[i]!)
      : Math.max(0, (out[i]! - 1) * strides[i]! + reach - size);
  });
  // SAME_UPPER puts the odd pixel at the end, SAME_LOWER at the beginning.
  const less = totals.map((total) => Math.floor(total / 2));
  const more = totals.map((total, i) => total - less[i]!);
  const [begin, end] = mode === "SAME_LOWER" ? [more, less] : [less, more];
  const attributes: Record<string, Attribute> = { ...node.attributes, pads: ints([...begin, ...end]) };
  delete attributes.auto_pad;
  if (intAttribute(node, "ceil_mode", 0) === 0) delete attributes.ceil_mode;
  return b.ops(node.op, node.inputs, node.outputs.length, attributes);
};

/** Dilations are newer than the target; exporters write them where they are 1, too. */
const averagePool: Lowering = (context) => {
  const { node, b } = context;
  const { dilations, ...attributes } = node.attributes;
  if (dilations === undefined) return explicitPads(context);
  if (intsAttribute(node, "dilations")?.some((d) => d !== 1)) {
    throw new ModelError(
      `The node ${describeNode(node)} is dilated, which has no pullback rule. ` +
        "Choose a feature tensor before it (`clp-dd inspect` lists the candidates).",
    );
  }
  return (
    explicitPads({ ...context, node: { ...node, attributes } }) ?? [b.op(node.op, node.inputs, attributes)]
  );
};

export const convolutionLowerings: LoweringTable = {
  Conv: explicitPads,
  ConvTranspose: explicitPads,
  MaxPool: explicitPads,
  AveragePool: averagePool,
};
