import { ModelError } from "../../errors.ts";
import { numbersOf } from "../../graph/constant.ts";
import { protoOfDataType } from "../../graph/data-type.ts";
import {
  describeNode,
  fromFront,
  int,
  intAttribute,
  intsAttribute,
  sizeOf,
  stringAttribute,
} from "../../graph/ir.ts";
import type { Lowering, LoweringContext, LoweringTable } from "./lowering.ts";

/**
 * Operators whose form changed between the operator sets that are read and the target one (ONNX's
 * Changelog.md), and those that static shapes make simpler.
 */
export const opsetLowerings: LoweringTable = {
  Reshape: lowerReshape,
  Squeeze: lowerReshape,
  Unsqueeze: lowerReshape,
  Flatten: lowerReshape,

  ReduceSum: axesAsInput(13),
  ReduceMean: axesAsInput(18),
  ReduceMax: ofBooleans(axesAsInput(18)),
  ReduceMin: ofBooleans(axesAsInput(18)),
  ReduceProd: axesAsInput(18),
  ReduceL1: axesAsInput(18),
  ReduceL2: axesAsInput(18),
  ReduceLogSum: axesAsInput(18),
  ReduceLogSumExp: axesAsInput(18),
  ReduceSumSquare: axesAsInput(18),

  Softmax: lastAxisOfRows,
  LogSoftmax: lastAxisOfRows,
  Hardmax: lastAxisOfRows,

  Split: lowerSplit,
  Pad: lowerPad,
  Resize: lowerResize,
  Cast: without("saturate", "round_mode"),
  BatchNormalization: inferenceOnly(1),
  // Without training nothing is dropped: the mask, which was of numbers before operator set 10, is all true.
  Dropout: ({ node, b, type, constant }) => {
    refuseTraining(node, constant);
    const [, mask = ""] = node.outputs;
    if (mask === "") return [node.inputs[0]];
    const { dtype, dims } = type(mask);
    return [node.inputs[0], b.op("Expand", [b.scalar(1, dtype), b.ints(dims)])];
  },
};

/** Static shapes know where every element goes. */
function lowerReshape({ node, b, type, constant }: LoweringContext): readonly string[] | undefined {
  const { dims } = type(node.outputs[0]);
  if (dims.includes(0)) return undefined;
  if (node.op === "Reshape" && node.attributes.allowzero === undefined) {
    const target = constant(node.inputs[1]);
    if (target !== undefined && numbersOf(target).every((d, i) => d === dims[i])) return undefined;
  }
  return [b.reshape(node.inputs[0], dims)];
}

/** Axes are an input since operator set `since`, and were an attribute before. */
function axesAsInput(since: number): Lowering {
  return ({ node, b, opset }) => {
    if (opset >= since) return undefined;
    const { axes: _, ...attributes } = node.attributes;
    const axes = intsAttribute(node, "axes");
    const inputs = axes === undefined ? [node.inputs[0]] : [node.inputs[0], b.ints(axes)];
    return [b.op(node.op, inputs, attributes)];
  };
}

/** Since operator set 20 booleans have a largest and a smallest, too. */
function ofBooleans(others: Lowering): Lowering {
  return (context) => {
    const { node, b, type } = context;
    if (type(node.inputs[0]).dtype !== "bool") return others(context);
    const cast = (value: string, dtype: "int32" | "bool") =>
      b.op("Cast", [value], { to: int(protoOfDataType(dtype)) });
    const [x, ...axes] = node.inputs as readonly [string, ...string[]];
    return [cast(b.op(node.op, [cast(x, "int32"), ...axes], node.attributes), "bool")];
  };
}

/** Up to operator set 12 these ran over all axes from `axis` (default 1) on, flattened. */
function lastAxisOfRows({ node, b, type, opset }: LoweringContext): readonly string[] | undefined {
  if (opset >= 13) return undefined;
  const x = node.inputs[0];
  const { dims } = type(x);
  const axis = fromFront(intAttribute(node, "axis", 1), dims.length);
  const rows = { axis: int(-1) };
  if (axis === dims.length - 1) return [b.op(node.op, [x], rows)];
  const flat = [sizeOf(dims.slice(0, axis)), sizeOf(dims.slice(axis))];
  return [b.reshape(b.op(node.op, [b.reshape(x, flat)], rows), dims)];
}

/** Sizes are an input since 13; from 18 on they, or the number of outputs, must be given. */
function lowerSplit({ node, b, type, opset }: LoweringContext): readonly string[] | undefined {
  const [x, sizes = ""] = node.inputs as readonly [string, string?];
  if (opset >= 18 || sizes !== "") return undefined;
  const axis = intAttribute(node, "axis", 0);
  const { dims } = type(x);
  const whole = dims[fromFront(axis, dims.length)];
  const split = intsAttribute(node, "split") ?? node.outputs.map(() => whole / node.outputs.length);
  return b.ops("Split", [x, b.ints(split)], node.outputs.length, { axis: int(axis) });
}

/** `wrap` is newer than the target: rows taken in turn, axis by axis. */
function lowerPad({ node, b, type, constant }: LoweringContext): readonly string[] | undefined {
  if (stringAttribute(node, "mode", "constant") !== "wrap") return undefined;
  const [x, pads, , axes = ""] = node.inputs as readonly [string, string, string?, string?];
  const amounts = constant(pads);
  const only = axes === "" ? undefined : constant(axes);
  if (amounts === undefined || (axes !== "" && only === undefined)) return undefined;
  const { dims } = type(x);
  const padded = only ? Array.from(numbersOf(only)) : [...dims.keys()];
  const begins = numbersOf(amounts);
  let value = x;
  for (const [k, given] of padded.entries()) {
    const axis = fromFront(given, dims.length);
    const size = dims[axis];
    const [begin, end] = [begins[k], begins[k + padded.length]];
    if (begin === 0 && end === 0) continue;
    const rows = Array.from({ length: begin + size + end }, (_, i) => (((i - begin) % size) + size) % size);
    value = b.op("Gather", [value, b.ints(rows)], { axis: int(axis) });
  }
  return [value];
}

/** Operator set 11 wrote "no scales" and "no roi" as empty tensors. */
function lowerResize({ node, b, constant }: LoweringContext): readonly string[] | undefined {
  const isEmpty = (input: string) => input !== "" && constant(input)?.dims.includes(0) === true;
  if (!node.inputs.slice(1).some(isEmpty)) return undefined;
  const inputs = node.inputs.map((input, i) => (i > 0 && isEmpty(input) ? "" : input));
  return [b.op("Resize", inputs, node.attributes)];
}

/** Drops attributes that are newer than the target and say nothing about the types that are read. */
function without(...names: readonly string[]): Lowering {
  return ({ node, b }) => {
    const kept = Object.entries(node.attributes).filter(([key]) => !names.includes(key));
    if (kept.length === Object.keys(node.attributes).length) return undefined;
    return [b.op(node.op, node.inputs, Object.fromEntries(kept))];
  };
}

/** Keeps the first `count` outputs of a node that would have more in training. */
function inferenceOnly(count: number): Lowering {
  return ({ node, b, constant }) => {
    refuseTraining(node, constant);
    if (node.outputs.slice(count).every((o) => o === "") && node.attributes.training_mode === undefined) {
      return undefined;
    }
    const { training_mode: _, ...attributes } = node.attributes;
    return b.ops(node.op, node.inputs, count, attributes);
  };
}

function refuseTraining(node: LoweringContext["node"], constant: LoweringContext["constant"]): void {
  const mode = node.op === "Dropout" && node.inputs[2] ? constant(node.inputs[2]) : undefined;
  const training = mode ? numbersOf(mode)[0] === 1 : intAttribute(node, "training_mode", 0) === 1;
  if (!training) return;
  throw new ModelError(
    `The node ${describeNode(node)} is in training mode: its output depends on the batch or on chance. ` +
      "Expected an encoder for inference: export it again after model.eval().",
  );
}
