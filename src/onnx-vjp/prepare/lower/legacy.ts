import { numbersOf } from "../../graph/constant.ts";
import { floatAttribute, int, intAttribute, intsAttribute, stringAttribute, text } from "../../graph/ir.ts";
import type { LoweringContext, LoweringTable } from "./lowering.ts";

/**
 * Forms of operator sets 7 to 10, from before most parameters became inputs (ONNX's Changelog.md). What they
 * leave alone has its newer form already.
 */
export const legacyLowerings: LoweringTable = {
  Slice: ({ node, b, opset }) => {
    const [starts, ends] = [intsAttribute(node, "starts"), intsAttribute(node, "ends")];
    if (opset >= 10 || !starts || !ends) return undefined;
    const axes = intsAttribute(node, "axes") ?? starts.map((_, i) => i);
    return [b.op("Slice", [node.inputs[0], b.ints(starts), b.ints(ends), b.ints(axes)])];
  },
  Clip: ({ node, b, type }) => {
    const bound = (key: string) => {
      if (node.attributes[key] === undefined) return "";
      return b.scalar(floatAttribute(node, key, 0), type(node.inputs[0]).dtype);
    };
    return [b.op("Clip", [node.inputs[0], bound("min"), bound("max")])];
  },
  Pad: ({ node, b, type }) => {
    const pads = b.ints(intsAttribute(node, "pads") ?? []);
    const value = b.scalar(floatAttribute(node, "value", 0), type(node.inputs[0]).dtype);
    const mode = text(stringAttribute(node, "mode", "constant"));
    return [b.op("Pad", [node.inputs[0], pads, value], { mode })];
  },
  TopK: ({ node, b, opset }) => {
    if (opset >= 10) return undefined;
    const k = b.ints([intAttribute(node, "k", 1)]);
    return b.ops("TopK", [node.inputs[0], k], node.outputs.length, {
      axis: int(intAttribute(node, "axis", -1)),
    });
  },
  Scatter: ({ node, b }) => [b.op("ScatterElements", node.inputs, node.attributes)],
  Upsample: oldResize,
  Resize: oldResize,
  BatchNormalization: ({ node, b, type }) => {
    if (node.attributes.spatial === undefined) return undefined;
    if (intAttribute(node, "spatial", 1) !== 1) return [perPixel({ node, b, type })];
    const { spatial: _, ...attributes } = node.attributes;
    return [b.op(node.op, node.inputs, attributes)];
  },
};

/** scale·(x − mean)/√(variance + ε) + bias, with a number of each for every pixel of every channel. */
function perPixel({ node, b, type }: Pick<LoweringContext, "node" | "b" | "type">): string {
  const [x, scale, bias, mean, variance] = node.inputs as readonly string[] as [
    ...[string, string, string, string, string],
  ];
  const epsilon = b.scalar(floatAttribute(node, "epsilon", 1e-5), type(x).dtype);
  const deviation = b.op("Sqrt", [b.op("Add", [variance, epsilon])]);
  const normalized = b.op("Div", [b.op("Sub", [x, mean]), deviation]);
  return b.op("Add", [b.op("Mul", [normalized, scale]), bias]);
}

/** Positions were output / scale then, and the nearest element the one before, or behind when shrinking. */
function oldResize({ node, b, constant }: LoweringContext): readonly string[] | undefined {
  const [x, scalesInput = ""] = node.inputs as readonly [string, string?];
  const attribute = node.attributes.scales;
  const known = constant(scalesInput);
  const scales = attribute?.kind === "floats" ? attribute.value : known && Array.from(numbersOf(known));
  if (scales === undefined) return undefined;
  const shrinks = scales.some((s) => s < 1);
  if (shrinks && scales.some((s) => s > 1)) return undefined;
  const nearest = stringAttribute(node, "mode", "nearest") === "nearest";
  const attributes = {
    mode: text(nearest ? "nearest" : "linear"),
    coordinate_transformation_mode: text("asymmetric"),
    ...(nearest ? { nearest_mode: text(shrinks ? "ceil" : "floor") } : {}),
  };
  return [b.op("Resize", [x, "", b.floats([scales.length], scales)], attributes)];
}
