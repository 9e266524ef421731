import { constantOf } from "../graph/constant.ts";
import {
  type Constant,
  type Graph,
  intAttribute,
  ints,
  intsAttribute,
  type Node,
  standardNode,
} from "../graph/ir.ts";

/*
 * What ONNX Runtime's WebGPU provider (1.30) takes and computes wrongly, found by comparing its operators with the
 * CPU's one by one (test/runtime/webgpu.test.ts does so where there is a GPU).
 */

/**
 * Nodes that the provider may not have. It fails at a pooling's places of the maxima when it runs. It computes wrongly
 * the second output of a root-mean-square normalization, and convolutions to a multiple of 4 channels whose input
 * channels are a multiple of 3 but not of 4, or whose groups' output channels are not a multiple of 4.
 */
export function notForWebgpu(graph: Graph): Node[] {
  return graph.nodes.filter((node) => {
    if (node.op === "MaxPool" || node.op === "SimplifiedLayerNormalization")
      return node.outputs.slice(1).some(Boolean);
    if (node.op !== "Conv" || node.domain !== "") return false;
    const [outputs, inputs] = graph.constants.get(node.inputs[1])?.dims ?? [];
    if (outputs === undefined || inputs === undefined || outputs % 4 !== 0) return false;
    const groups = intAttribute(node, "group", 1);
    if (groups === 1) return inputs > 3 && inputs % 3 === 0 && inputs % 4 !== 0;
    const each = outputs / groups;
    return each !== 1 && each % 4 !== 0;
  });
}

/**
 * Padding at the end only, as a separate node: where the kernel is as large as the input, the provider takes the
 * convolution for a product and leaves that padding out.
 */
export function withPadsApart(graph: Graph): Graph {
  if (!graph.nodes.some(padsEndAlone)) return graph;
  const constants = new Map<string, Constant>(graph.constants);
  const nodes = graph.nodes.flatMap((node) => {
    if (!padsEndAlone(node)) return [node];
    const pads = intsAttribute(node, "pads")!;
    const axes = pads.length / 2;
    const [input, ...others] = node.inputs;
    const [padded, amounts] = [`${node.outputs[0]}/padded`, `${node.outputs[0]}/pads`];
    constants.set(
      amounts,
      constantOf("int64", [2 * (axes + 2)], [0, 0, ...pads.slice(0, axes), 0, 0, ...pads.slice(axes)]),
    );
    const none = ints(pads.map(() => 0));
    return [
      standardNode("Pad", [input!, amounts], padded),
      { ...node, inputs: [padded, ...others], attributes: { ...node.attributes, pads: none } },
    ];
  });
  return { ...graph, nodes, constants };
}

function padsEndAlone(node: Node): boolean {
  if (node.op !== "Conv" || node.domain !== "") return false;
  const pads = intsAttribute(node, "pads") ?? [];
  const axes = pads.length / 2;
  return pads.slice(0, axes).every((pad) => pad === 0) && pads.some((pad) => pad > 0);
}
