import { type Graph, int, type Node, standardNode } from "../graph/ir.ts";

/** The input that says what a pullback's cotangents are multiplied by on the way, shape [1]. */
export const scaleInput = "clp-dd/scale";

/** Output that is finite where all numbers of all gradients are: the sum of their sizes. */
export const gradientSize = "clp-dd/gradient-size";

/**
 * A pullback that works on a multiple of its cotangents, so that small gradients do not vanish in half precision, and
 * divides its gradients by the same number. Both are float32.
 */
export function scaleCotangent(
  graph: Graph,
  cotangents: readonly string[],
  gradients: readonly string[],
): Graph {
  const node = (
    op: string,
    inputs: readonly string[],
    output: string,
    attributes: Node["attributes"] = {},
  ) => ({
    ...standardNode(op, inputs, output, attributes, `${output}/scaling`),
  });
  const scaled = (value: string) => `${value}/scaled`;
  const changed = new Set([...cotangents, ...gradients]);
  const rename = (value: string) => (changed.has(value) ? scaled(value) : value);
  const sizes: string[] = [];
  const after = gradients.flatMap((gradient) => {
    const [size, sum] = [`${gradient}/size`, `${gradient}/sum`];
    sizes.push(sum);
    return [
      node("Div", [scaled(gradient), scaleInput], gradient),
      node("Abs", [scaled(gradient)], size),
      node("ReduceSum", [size], sum, { keepdims: int(1) }),
    ];
  });
  return {
    ...graph,
    inputs: [...graph.inputs, { name: scaleInput, dtype: "float32", dims: [1] }],
    outputs: [...graph.outputs, { name: gradientSize, dtype: "float32", dims: [] }],
    nodes: [
      ...cotangents.map((name) => node("Mul", [name, scaleInput], scaled(name))),
      ...graph.nodes.map((n) => ({ ...n, inputs: n.inputs.map(rename), outputs: n.outputs.map(rename) })),
      ...after,
      node("Sum", sizes, gradientSize),
    ],
  };
}
