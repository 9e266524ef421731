import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { withSymmetricPads } from "../../../src/onnx-vjp/fit/symmetric-pads.ts";
import { GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import { type Graph, int, ints, intsAttribute } from "../../../src/onnx-vjp/graph/ir.ts";
import { randomArray, randomNumbers } from "../../support/check-rule.ts";
import { expectSameResults } from "../../support/same-results.ts";

interface Axis {
  readonly size: number;
  readonly kernel: number;
  readonly stride: number;
  readonly begin: number;
  readonly end: number;
  /** Output padding. */
  readonly added: number;
}

/** A transposed convolution of x [2, 4, …]; without attributes for what is the default, where `terse`. */
function graphOf(axes: readonly Axis[], { terse = false, groups = 1 } = {}): Graph {
  const b = new GraphBuilder();
  const of = (key: keyof Axis) => axes.map((axis) => axis[key]);
  const weight = [4, 3, ...of("kernel")];
  const y = b.op(
    "ConvTranspose",
    [
      b.input("x", [2, 4, ...of("size")]),
      b.floats(weight, randomArray(weight, randomNumbers(1)).data),
      b.floats([3 * groups], randomArray([3 * groups], randomNumbers(2)).data),
    ],
    {
      pads: ints([...of("begin"), ...of("end")]),
      group: int(groups),
      ...(terse ? {} : { strides: ints(of("stride")), output_padding: ints(of("added")) }),
    },
  );
  b.output(b.op("Neg", [y]), { dims: [] });
  return b.graph;
}

/** Asserts that a graph computes what it did. */
function expectSame(before: Graph, after: Graph): Promise<void> {
  const x = randomArray(before.inputs[0].dims as number[], randomNumbers(3));
  return expectSameResults(before, after, { x });
}

const isUneven = (graph: Graph) =>
  graph.nodes.some((node) => {
    const pads = node.op === "ConvTranspose" ? intsAttribute(node, "pads")! : [];
    return pads.some((pad, i) => pad !== pads[(i + pads.length / 2) % pads.length]);
  });

/** An axis whose end would have to be padded by less than nothing. */
const cannotBeEven = ({ begin, end, stride, added }: Axis) => added + begin - end >= stride && end < added;

const axis = (kernel: number, stride: number) =>
  fc
    .record({
      size: fc.integer({ min: 3, max: 5 }),
      kernel: fc.constant(kernel),
      stride: fc.constant(stride),
      begin: fc.integer({ min: 0, max: 3 }),
      end: fc.integer({ min: 0, max: 3 }),
      added: fc.integer({ min: 0, max: stride - 1 }),
    })
    .filter(({ size, begin, end, added }) => stride * (size - 1) + kernel + added > begin + end);

const plain: Axis = { size: 4, kernel: 3, stride: 1, begin: 1, end: 1, added: 0 };
const opsOf = (graph: Graph) => graph.nodes.map((node) => node.op);

describe("withSymmetricPads", () => {
  const windows = [2, 3, 4].flatMap((kernel) => [1, 2].map((stride) => [kernel, stride] as const));

  it.each(windows)("computes the same with a kernel of %i and a stride of %i", async (kernel, stride) => {
    const axes = fc.array(axis(kernel, stride), { minLength: 1, maxLength: 2 });
    await fc.assert(
      fc.asyncProperty(axes, fc.constantFrom(1, 2), async (made, groups) => {
        const graph = graphOf(made, { groups });
        const after = withSymmetricPads(graph);
        await expectSame(graph, after);
        expect(isUneven(after)).toBe(isUneven(graph) && made.some(cannotBeEven));
        if (!isUneven(graph)) expect(after).toBe(graph);
        if (isUneven(after)) expect(after.nodes).toEqual(graph.nodes);
      }),
      { numRuns: 40 },
    );
  });

  const cases: [string, Partial<Axis>, string[]][] = [
    ["less at the end by output padding", { stride: 2, begin: 1, end: 0 }, ["ConvTranspose", "Neg"]],
    ["more at the end by a cut", { begin: 0, end: 1 }, ["ConvTranspose", "Slice", "Neg"]],
    ["less at the end by a cut of the beginning", { begin: 2, end: 0 }, ["ConvTranspose", "Slice", "Neg"]],
    ["what output padding gives back", { stride: 2, begin: 0, end: 1, added: 1 }, ["ConvTranspose", "Neg"]],
  ];
  it.each(cases)("has %s", async (_, uneven, ops) => {
    for (const axes of [[uneven], [uneven, {}], [{}, uneven], [uneven, uneven]]) {
      const graph = graphOf(axes.map((a) => ({ ...plain, ...a })));
      const after = withSymmetricPads(graph);
      expect(opsOf(after)).toEqual(ops);
      expect(isUneven(after)).toBe(false);
      expect(after.outputs).toEqual(graph.outputs);
      expect(graph.constants.size).toBe(2);
      await expectSame(graph, after);
    }
  });

  it("reads strides and output padding that are not given", async () => {
    for (const [begin, end] of [
      [0, 2],
      [2, 1],
    ] as const) {
      const graph = graphOf([plain, { ...plain, begin, end }], { terse: true });
      const after = withSymmetricPads(graph);
      expect(isUneven(after)).toBe(false);
      await expectSame(graph, after);
    }
  });

  it("cuts several in one graph, each by its own bounds", async () => {
    const b = new GraphBuilder();
    const weight = b.floats([2, 2, 3, 3], randomArray([2, 2, 3, 3], randomNumbers(1)).data);
    const pads = [
      [0, 1, 2, 1],
      [2, 0, 0, 0],
      [1, 1, 1, 1],
    ];
    const y = pads.reduce(
      (x, given) => b.op("ConvTranspose", [x, weight], { pads: ints(given) }),
      b.input("x", [1, 2, 4, 4]),
    );
    b.output(y, { dims: [] });
    const after = withSymmetricPads(b.graph);
    expect(opsOf(after)).toEqual(["ConvTranspose", "Slice", "ConvTranspose", "Slice", "ConvTranspose"]);
    expect(after.nodes.at(-1)).toBe(b.graph.nodes.at(-1));
    await expectSame(b.graph, after);
  });

  it("leaves one whose result is longer than any even padding gives", async () => {
    const graph = graphOf([plain, { ...plain, stride: 2, begin: 2, end: 0, added: 1 }]);
    const after = withSymmetricPads(graph);
    expect(after.nodes).toEqual(graph.nodes);
    expect(isUneven(after)).toBe(true);
  });

  it("gives a graph back whose paddings are even, or that has none", () => {
    for (const axes of [[plain], [plain, { ...plain, begin: 0, end: 0 }]]) {
      const graph = graphOf(axes);
      expect(withSymmetricPads(graph)).toBe(graph);
    }
    const b = new GraphBuilder();
    const x = b.input("x", [1, 1, 4, 4]);
    const y = b.op("Conv", [x, b.floats([1, 1, 2, 2], [1, 2, 3, 4])], { pads: ints([0, 0, 1, 1]) });
    b.output(b.op("ConvTranspose", [y, b.floats([1, 1, 2, 2], [1, 2, 3, 4])]), { dims: [] });
    expect(withSymmetricPads(b.graph)).toBe(b.graph);
  });
});
