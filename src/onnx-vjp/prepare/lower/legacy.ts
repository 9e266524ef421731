import { ModelError } from "../../errors.ts";
import { numbersOf } from "../../graph/constant.ts";
import {
  describeNode,
  floatAttribute,
  int,
  intAttribute,
  intsAttribute,
  stringAttribute,
  text,
} from "../../graph/ir.ts";
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
    return [b.op("Slice", [node.inputs[0]!, b.ints(starts), b.ints(ends), b.ints(axes)])];
  },
  Clip: ({ node, b, type }) => {
    const bound = (key: string) => {
      if (node.attributes[key] === undefined) return "";
      return b.scalar(floatAttribute(node, key, 0), type(node.inputs[0]!).dtype);
    };
    return [b.op("Clip", [node.inputs[0]!, bound("min"), bound("max")])];
  },
  Pad: ({ node, b, type }) => {
    const pads = b.ints(intsAttribute(node, "pads") ?? []);
    const value = b.scalar(floatAttribute(node, "value", 0), type(node.inputs[0]!).dtype);
    const mode = text(stringAttribute(node, "mode", "constant"));
    return [b.op("Pad", [node.inputs[0]!, pads, value], { mode })];
  },
  TopK: ({ node, b, opset }) => {
    if (opset >= 10) return undefined;
    const k = b.ints([intAttribute(node, "k", 1)]);
    return b.ops("TopK", [node.inputs[0]!, k], node.outputs.length, {
      axis: int(intAttribute(node, "axis", -1)),
    });
  },
  Scatter: ({ node, b }) => [b.op("ScatterElements", node.inputs, node.attributes)],
  Upsample: oldResize,
  Resize: oldResize,
  BatchNormalization: ({ node, b }) => {
    if (node.attributes.spatial === undefined) return undefined;
    if (intAttribute(node, "spatial", 1) !== 1) {
      throw new ModelError(
        `The node ${describeNode(node)} normalises each pixel by its own statistics (spatial = 0), which is not ` +
          "read. Export the model again with opset 11 or newer.",
      );
    }
    const { spatial: _, ...attributes } = node.attributes;
    return [b.op(node.op, node.inputs, attributes)];
  },
};

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
