import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import type { TracedGraph } from "../../../src/onnx-vjp/graph/ir.ts";
import { fuseGelu } from "../../../src/onnx-vjp/prepare/fuse-gelu.ts";
import { trace } from "../../../src/onnx-vjp/prepare/trace.ts";
import { nodeRuntime } from "../../../src/onnx-vjp/runtime/node.ts";
import { randomArray, randomNumbers, relativeError } from "../../support/check-rule.ts";
import { runGraph } from "../../support/run-graph.ts";

const runtime = nodeRuntime({ threads: 1 });
const dims = [2, 3, 5];

/** The graph of y = f(x), f written with the builder, x itself computed. */
async function graphOf(f: (b: GraphBuilder, x: string) => string): Promise<TracedGraph> {
  const b = new GraphBuilder();
  b.input("image", dims);
  const x = b.op("Add", ["image", b.floats([5], [0.1, -0.2, 0.3, -0.4, 0.5])]);
  b.output(b.op("Mul", [f(b, x), b.floats([5], [1, 2, 3, 4, 5])]), { dims });
  return trace(runtime, b.graph, { image: dims });
}

const erf = (b: GraphBuilder, x: string, divide: boolean): string =>
  b.op("Erf", [divide ? b.op("Div", [x, b.scalar(Math.SQRT2)]) : b.op("Mul", [b.scalar(Math.SQRT1_2), x])]);

const cube = (b: GraphBuilder, x: string, power: boolean): string =>
  power ? b.op("Pow", [x, b.scalar(3)]) : b.op("Mul", [b.op("Mul", [x, x]), x]);

const tanh = (b: GraphBuilder, x: string, power: boolean): string => {
  const inner = b.op("Add", [x, b.op("Mul", [cube(b, x, power), b.scalar(0.044715)])]);
  return b.op("Tanh", [b.op("Mul", [inner, b.scalar(Math.sqrt(2 / Math.PI))])]);
};

/** x/2·(1 + core) in the orders that exporters write it. */
const halves: ((b: GraphBuilder, x: string, core: string) => string)[] = [
  (b, x, core) => b.op("Mul", [b.op("Mul", [x, b.op("Add", [core, b.scalar(1)])]), b.scalar(0.5)]),
  (b, x, core) => b.op("Mul", [b.op("Mul", [x, b.scalar(0.5)]), b.op("Add", [b.scalar(1), core])]),
  (b, x, core) => b.op("Mul", [b.op("Mul", [b.op("Add", [core, b.scalar(1)]), b.scalar(0.5)]), x]),
];

describe("fuseGelu", () => {
  const chains = fc.record({ half: fc.constantFrom(...halves), tanh: fc.boolean(), variant: fc.boolean() });

  it("recognises the erf and the tanh form however they are written", async () => {
    await fc.assert(
      fc.asyncProperty(chains, fc.nat(), async ({ half, tanh: isTanh, variant }, seed) => {
        const graph = await graphOf((b, x) => half(b, x, (isTanh ? tanh : erf)(b, x, variant)));
        const fused = fuseGelu(graph);
        expect(fused.nodes.map((node) => node.op)).toEqual(["Add", isTanh ? "FastGelu" : "Gelu", "Mul"]);
        const image = { image: randomArray(dims, randomNumbers(seed), 3) };
        const [[expected], [actual]] = [await runGraph(graph, image), await runGraph(fused, image)];
        expect(relativeError(actual!.data, expected!.data)).toBeLessThan(1e-5);
      }),
      { numRuns: 12 },
    );
  });

  it("recognises x·σ(αx) and its α", async () => {
    const graph = await graphOf((b, x) =>
      b.op("Mul", [x, b.op("Sigmoid", [b.op("Mul", [x, b.scalar(1.702)])])]),
    );
    const fused = fuseGelu(graph);
    expect(fused.nodes.map((node) => node.op)).toEqual(["Add", "QuickGelu", "Mul"]);
    const image = { image: randomArray(dims, randomNumbers(1), 3) };
    const [[expected], [actual]] = [await runGraph(graph, image), await runGraph(fused, image)];
    expect(relativeError(actual!.data, expected!.data)).toBeLessThan(1e-5);
  });

  const others: [string, (b: GraphBuilder, x: string) => string][] = [
    ["another constant", (b, x) => halves[0](b, x, b.op("Erf", [b.op("Mul", [x, b.scalar(0.7)])]))],
    ["another factor", (b, x) => halves[0](b, b.op("Neg", [x]), erf(b, x, true))],
    ["x·σ(x)", (b, x) => b.op("Mul", [x, b.op("Sigmoid", [x])])],
    [
      "a second reader",
      (b, x) => {
        const core = erf(b, x, true);
        return b.op("Add", [halves[0](b, x, core), core]);
      },
    ],
  ];
  it.each(others)("leaves %s as it is", async (_, f) => {
    const graph = await graphOf(f);
    expect(fuseGelu(graph)).toBe(graph);
  });
});
