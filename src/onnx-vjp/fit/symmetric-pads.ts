import { constantOf } from "../graph/constant.ts";
import { type Constant, type Graph, ints, intsAttribute, type Node, standardNode } from "../graph/ir.ts";

/**
 * Transposed convolutions with the same padding at both ends of an axis, which is all that cuDNN has: ONNX Runtime
 * runs the others on the CPU. Where the end has less padding, the difference becomes output padding; where it has
 * more, or too much less for output padding, a larger result is cut. What cannot be had so stays as it is.
 */
export function withSymmetricPads(graph: Graph): Graph {
  if (!graph.nodes.some(isUneven)) return graph;
  const constants = new Map(graph.constants);
  const nodes = graph.nodes.flatMap((node) => (isUneven(node) ? evened(node, constants) : [node]));
  return { ...graph, nodes, constants };
}

function isUneven(node: Node): boolean {
  if (node.op !== "ConvTranspose" || node.domain !== "") return false;
  const pads = intsAttribute(node, "pads") ?? [];
  const axes = pads.length / 2;
  return pads.some((pad, i) => i < axes && pad !== pads[i + axes]);
}

function evened(node: Node, constants: Map<string, Constant>): Node[] {
  const pads = intsAttribute(node, "pads")!;
  const axes = pads.length / 2;
  const strides = intsAttribute(node, "strides") ?? Array.from({ length: axes }, () => 1);
  const added = intsAttribute(node, "output_padding") ?? Array.from({ length: axes }, () => 0);
  const { output_shape: _, ...attributes } = node.attributes;
  // What is beyond the end of the result with both ends padded like the beginning: negative where too much is there.
  const missing = added.map((extra, i) => extra + pads[i] - pads[i + axes]);
  const output = missing.map((m, i) => (m >= 0 && m < strides[i] ? m : 0));
  const cut = missing.map((m, i) => m - output[i]);
  // Less padding at both ends where the end has to grow by more than output padding can give.
  const begin = pads.slice(0, axes).map((pad, i) => (cut[i] > 0 ? pad - cut[i] : pad));
  if (begin.some((pad) => pad < 0)) return [node];
  const even: Node = {
    ...node,
    attributes: { ...attributes, pads: ints([...begin, ...begin]), output_padding: ints(output) },
  };
  if (cut.every((c) => c === 0)) return [even];
  const [name] = node.outputs;
  const whole = `${name}/whole`;
  const bounds = (key: string, values: readonly number[]) => {
    const constant = `${name}/${key}`;
    constants.set(constant, constantOf("int64", [axes], values));
    return constant;
  };
  const starts = cut.map((c) => Math.max(0, c));
  const ends = cut.map((c) => (c < 0 ? c : Number.MAX_SAFE_INTEGER));
  const spatial = begin.map((_, i) => i + 2);
  return [
    { ...even, outputs: [whole] },
    standardNode(
      "Slice",
      [whole, bounds("starts", starts), bounds("ends", ends), bounds("axes", spatial)],
      name!,
      {},
      `${name}/cut`,
    ),
  ];
}
