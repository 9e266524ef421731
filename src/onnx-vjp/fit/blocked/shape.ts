import { numbersOf } from "../../graph/constant.ts";
import {
  type Constant,
  fromFront,
  intAttribute,
  intsAttribute,
  type Node,
  type TensorType,
} from "../../graph/ir.ts";
import { reachOf, windowOf } from "../../graph/window.ts";

/** The output's shape of the operators between a pullback's convolutions, which no trace has seen; else undefined. */
export function imageShape(
  node: Node,
  constants: ReadonlyMap<string, Constant>,
  types: ReadonlyMap<string, TensorType>,
): readonly number[] | undefined {
  if (node.domain !== "") return undefined;
  const dims = types.get(node.inputs[0] ?? "")?.dims;
  if (node.op === "Transpose") return dims && intsAttribute(node, "perm")?.map((axis) => dims[axis]);
  const second = constants.get(node.inputs[1] ?? "");
  if (!second) return undefined;
  switch (node.op) {
    case "Conv": {
      if (!dims) return undefined;
      const window = windowOf(node, second.dims.slice(2));
      const reach = reachOf(window);
      const space = dims.slice(2).map((size, i) => {
        const covered = size + window.begin[i] + window.end[i] - reach[i] - 1;
        return Math.floor(covered / window.strides[i]) + 1;
      });
      return [dims[0], second.dims[0], ...space];
    }
    case "ConvTranspose": {
      if (!dims) return undefined;
      const window = windowOf(node, second.dims.slice(2));
      const reach = reachOf(window);
      const extra = intsAttribute(node, "output_padding");
      const space = dims.slice(2).map((size, i) => {
        const whole = (size - 1) * window.strides[i] + reach[i] + 1 + (extra?.[i] ?? 0);
        return whole - window.begin[i] - window.end[i];
      });
      return [dims[0], second.dims[1] * intAttribute(node, "group", 1), ...space];
    }
    case "Expand":
    case "Reshape": {
      const shape = Array.from(numbersOf(second));
      return shape.length === 4 && shape.every((size) => size > 0) ? shape : undefined;
    }
    case "ReduceMean": {
      if (!dims || intAttribute(node, "keepdims", 1) !== 1) return undefined;
      const axes = Array.from(numbersOf(second), (axis) => fromFront(axis, dims.length));
      return dims.map((size, axis) => (axes.includes(axis) ? 1 : size));
    }
    default:
      return undefined;
  }
}
