import { ModelError } from "../errors.ts";
import { numbersOf } from "./constant.ts";
import { type Constant, describeNode, type Graph } from "./ir.ts";

/**
 * Throws ModelError for what ends the process in ONNX Runtime instead of being refused: a SplitToSequence into pieces of
 * size 0 divides by it when the model is loaded.
 * @param name how the file is called in messages
 */
export function requireNoNativeFault(
  graph: Graph,
  name: string,
  outer: ReadonlyMap<string, Constant> = new Map(),
): void {
  const known = outer.size === 0 ? graph.constants : new Map([...outer, ...graph.constants]);
  for (const node of graph.nodes) {
    for (const attribute of Object.values(node.attributes)) {
      if (attribute.kind === "graph") requireNoNativeFault(attribute.value, name, known);
    }
    if (node.domain !== "" || node.op !== "SplitToSequence") continue;
    const split = known.get(node.inputs[1] ?? "");
    if (split === undefined || split.dims.length > 0) continue;
    const size = numbersOf(split)[0]!;
    if (size > 0) continue;
    throw new ModelError(
      `${name}: the node ${describeNode(node)} splits into pieces of size ${size}. Expected a size above 0: the file is ` +
        "damaged, or the model was exported wrongly.",
    );
  }
}
