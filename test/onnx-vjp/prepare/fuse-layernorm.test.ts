import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import { int, type TracedGraph } from "../../../src/onnx-vjp/graph/ir.ts";
import { fuseLayerNormalization } from "../../../src/onnx-vjp/prepare/fuse-layernorm.ts";
import { trace } from "../../../src/onnx-vjp/prepare/trace.ts";
import { nodeRuntime } from "../../../src/onnx-vjp/runtime/node.ts";
import { randomArray, randomNumbers, relativeError } from "../../support/check-rule.ts";
import { runGraph } from "../../support/run-graph.ts";

const runtime = nodeRuntime({ threads: 1 });
const size = fc.integer({ min: 1, max: 4 });

interface Form {
  readonly axes: readonly number[];
  readonly pow: boolean;
  readonly twice: boolean;
  readonly reciprocal: boolean;
  readonly scale?: readonly number[] | undefined;
  readonly bias?: readonly number[] | undefined;
}

async function graphOf(dims: readonly number[], form: Form): Promise<TracedGraph> {
  const b = new GraphBuilder();
  const random = randomNumbers(7);
  const x = b.op("Neg", [b.input("image", dims)]);
  const mean = (value: string) => b.op("ReduceMean", [value, b.ints(form.axes)], { keepdims: int(1) });
  const first = mean(x);
  const centered = b.op("Sub", [x, first]);
  const again = form.twice ? b.op("Sub", [x, first]) : centered;
  const square = form.pow ? b.op("Pow", [again, b.scalar(2)]) : b.op("Mul", [again, again]);
  const root = b.op("Sqrt", [b.op("Add", [mean(square), b.scalar(1e-3)])]);
  let y = form.reciprocal
    ? b.op("Mul", [centered, b.op("Reciprocal", [root])])
    : b.op("Div", [centered, root]);
  const parameter = (shape: readonly number[]) => {
    const { data } = randomArray(shape, random);
    return b.floats(shape, data);
  };
  if (form.scale) y = b.op("Mul", [parameter(form.scale), y]);
  if (form.bias) y = b.op("Add", [y, parameter(form.bias)]);
  b.output(b.op("Neg", [y]), { dims });
  return trace(runtime, b.graph, { image: dims });
}

const ops = (graph: TracedGraph) => graph.nodes.map((node) => node.op);

describe("fuseLayerNormalization", () => {
  it("recognises the chains that exporters write, over any trailing axes", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(size, { minLength: 1, maxLength: 4 }),
        fc.record({ pick: fc.nat(), negative: fc.boolean(), pow: fc.boolean(), twice: fc.boolean() }),
        fc.boolean(),
        fc.constantFrom("none", "full", "leading ones", "one"),
        fc.constantFrom("none", "full", "leading ones", "one"),
        async (dims, { pick, negative, pow, twice }, reciprocal, scale, bias) => {
          const axis = pick % dims.length;
          const shapes = {
            none: undefined,
            full: dims.slice(axis),
            "leading ones": dims.map((d, i) => (i < axis ? 1 : d)),
            one: [1],
          };
          const axes = dims.map((_, i) => (negative ? i - dims.length : i)).slice(axis);
          const form = { axes, pow, twice, reciprocal, scale: shapes[scale], bias: shapes[bias] };
          const graph = await graphOf(dims, form);
          const fused = fuseLayerNormalization(graph);
          expect(ops(fused)).toEqual(["Neg", "LayerNormalization", "Neg"]);
          const image = { image: randomArray(dims, randomNumbers(pick)) };
          const [[expected], [actual]] = [await runGraph(graph, image), await runGraph(fused, image)];
          expect(relativeError(actual!.data, expected!.data)).toBeLessThan(1e-5);
        },
      ),
      { numRuns: 20 },
    );
  });

  it("leaves a reduction over other than trailing axes as it is", async () => {
    const form = { axes: [1], pow: true, twice: false, reciprocal: false };
    const graph = await graphOf([2, 3, 4], form);
    expect(fuseLayerNormalization(graph)).toBe(graph);
  });

  it("leaves a scale that reaches beyond the normalized axes as a product of its own", async () => {
    const form = { axes: [2], pow: true, twice: false, reciprocal: false, scale: [3, 1], bias: [4] };
    const graph = await graphOf([2, 3, 4], form);
    const fused = fuseLayerNormalization(graph);
    expect(ops(fused)).toEqual(["Neg", "LayerNormalization", "Mul", "Add", "Neg"]);
    const image = { image: randomArray([2, 3, 4], randomNumbers(3)) };
    const [[expected], [actual]] = [await runGraph(graph, image), await runGraph(fused, image)];
    expect(relativeError(actual!.data, expected!.data)).toBeLessThan(1e-5);
  });
});
