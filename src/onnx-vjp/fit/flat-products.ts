import { floatAttribute, type Graph, int, intAttribute, type Node } from "../graph/ir.ts";
import { linksOf } from "../graph/links.ts";
import { withoutDeadNodes } from "../graph/live.ts";

/**
 * Products of stacks of rows with a transposed weight as one operator each, where the rows were laid end to end for Gemm
 * and taken apart again. A GPU's kernels are short: what takes time is to start them, and every operator, also one
 * that moves nothing, takes its share of that (docs/notes/performance.md). ONNX Runtime has FusedMatMul for both.
 *
 * @param dimsOf static shape of a value, undefined where it is not known
 */
export function withoutFlattening(
  graph: Graph,
  dimsOf: (value: string) => readonly number[] | undefined,
): Graph {
  const { producer, onlyReader } = linksOf(graph);
  const nodes = graph.nodes.map((node) => {
    const gemm = node.op === "Reshape" ? producer(node.inputs[0]) : undefined;
    if (gemm === undefined || !isPlain(gemm) || onlyReader(gemm.outputs[0]) !== node) return node;
    const [rows, weight] = gemm.inputs as [string, string];
    const flatten = producer(rows);
    if (flatten?.op !== "Reshape") return node;
    const [stack] = flatten.inputs as [string];
    const [from, to, [columns, inner] = []] = [dimsOf(stack), dimsOf(node.outputs[0]), dimsOf(weight)];
    if (from === undefined || to === undefined || from.length !== to.length || from.length < 2) return node;
    const same = from.every((d, i) => (i === from.length - 1 ? d === inner : d === to[i]));
    if (!same || to.at(-1) !== columns) return node;
    return {
      op: "FusedMatMul",
      domain: "com.microsoft",
      name: gemm.name,
      inputs: [stack, weight],
      outputs: node.outputs,
      attributes: { transB: int(1) },
    };
  });
  return withoutDeadNodes({ ...graph, nodes });
}

/** A product with a transposed second factor and nothing else. */
function isPlain(node: Node): boolean {
  return (
    node.op === "Gemm" &&
    node.domain === "" &&
    !node.inputs[2] &&
    intAttribute(node, "transA", 0) === 0 &&
    intAttribute(node, "transB", 0) === 1 &&
    floatAttribute(node, "alpha", 1) === 1
  );
}
