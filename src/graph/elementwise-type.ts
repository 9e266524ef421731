import { dataTypeOfProto } from "./data-type.ts";
import { type DataType, intAttribute, type Node } from "./ir.ts";

const logical = new Set(["Greater", "Less", "Equal", "GreaterOrEqual", "LessOrEqual", "And", "Or", "Not"]);

/** The type of an element-wise operator's output where its last input has type `like`; undefined if it is not known. */
export function elementwiseType(node: Node, like: DataType): DataType | undefined {
  if (logical.has(node.op)) return "bool";
  return node.op === "Cast" ? dataTypeOfProto(intAttribute(node, "to", 0)) : like;
}
