import { ModelError } from "../errors.ts";
import { numbersOf } from "../graph/constant.ts";
import { type Constant, describeNode, type Graph } from "../graph/ir.ts";
import { goesOnAlways } from "./unroll.ts";

/** Iterations of one loop; a model of images has some tens. */
const mostIterations = 1_000_000;

/**
 * Throws ModelError for a Loop that would not end in anyone's lifetime: ONNX Runtime cannot be stopped once it runs one.
 * Loops whose condition is computed pass, whatever their limit is: exporters give the largest number there is.
 */
export function requireLoopsThatEnd(graph: Graph, outer: ReadonlyMap<string, Constant> = new Map()): void {
  const known = outer.size === 0 ? graph.constants : new Map([...outer, ...graph.constants]);
  for (const node of graph.nodes) {
    for (const attribute of Object.values(node.attributes)) {
      if (attribute.kind === "graph") requireLoopsThatEnd(attribute.value, known);
    }
    const body = node.op === "Loop" && node.domain === "" ? node.attributes.body : undefined;
    if (body?.kind !== "graph" || body.value.inputs.length < 2 || body.value.outputs.length < 1) continue;
    const [limit = "", condition = ""] = node.inputs;
    const numberIn = (value: string): number | undefined => {
      const constant = known.get(value);
      return constant && numbersOf(constant)[0];
    };
    const count = limit === "" ? Number.POSITIVE_INFINITY : (numberIn(limit) ?? 0);
    const begins = condition === "" || (numberIn(condition) ?? 0) !== 0;
    if (count <= mostIterations || !begins || !goesOnAlways(body.value)) continue;
    throw new ModelError(
      `The node ${describeNode(node)} is a loop of ${limit === "" ? "endlessly many" : count} iterations. Expected at most ` +
        `${mostIterations}: the model would not return.`,
    );
  }
}
