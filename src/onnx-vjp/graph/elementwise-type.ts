import { dataTypeOfProto } from "./data-type.ts";
import { type DataType, intAttribute, type Node } from "./ir.ts";

/** Operators whose results are true or false. */
export const logical = new Set([
  "Greater",
  "Less",
  "Equal",
  "GreaterOrEqual",
  "LessOrEqual",
  "And",
  "Or",
  "Not",
  "Xor",
  "IsNaN",
  "IsInf",
]);

/** The type of an element-wise operator's output where its last input has type `like`; undefined if it is not known. */
export function elementwiseType(node: Node, like: DataType): DataType | undefined {
  if (logical.has(node.op)) return "bool";
  return node.op === "Cast" ? dataTypeOfProto(intAttribute(node, "to", 0)) : like;
}

/** NumPy's result shape of broadcasting. */
export function broadcast(shapes: readonly (readonly number[])[]): number[] {
  const rank = Math.max(...shapes.map((dims) => dims.length));
  return Array.from({ length: rank }, (_, i) => {
    const sizes = shapes.map((dims) => dims[i - rank + dims.length] ?? 1);
    return sizes.find((size) => size !== 1) ?? 1;
  });
}
