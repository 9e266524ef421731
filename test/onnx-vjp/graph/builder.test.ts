import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import { type Array64, array64, randomArray, randomNumbers } from "../../support/check-rule.ts";
import { runGraph } from "../../support/run-graph.ts";

const permutation = fc.shuffledSubarray([0, 1, 2, 3], { minLength: 4, maxLength: 4 });

/** Transpose by definition: element i of axis a comes from axis perm[a]. */
function transposed(x: Array64, perm: readonly number[]): Array64 {
  const dims = perm.map((axis) => x.dims[axis]);
  const stride = x.dims.map((_, i) => x.dims.slice(i + 1).reduce((p, d) => p * d, 1));
  const out = array64(dims);
  for (let flat = 0; flat < out.data.length; flat++) {
    let rest = flat;
    let from = 0;
    for (let a = dims.length - 1; a >= 0; a--) {
      from += (rest % dims[a]) * stride[perm[a]!];
      rest = Math.floor(rest / dims[a]);
    }
    out.data[flat] = x.data[from];
  }
  return out;
}

describe("GraphBuilder", () => {
  it("writes a chain of transposes as one node, or none where they cancel", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(permutation, { minLength: 1, maxLength: 3 }), async (perms) => {
        const x = randomArray([2, 3, 4, 5], randomNumbers(1));
        const b = new GraphBuilder();
        const y = perms.reduce((value, perm) => b.transpose(value, perm), b.input("x", x.dims));
        b.output(y, { dims: [] }, "y");
        const [actual] = await runGraph(b.graph, { x });
        const expected = perms.reduce(transposed, x);
        expect([...actual!.dims]).toEqual(expected.dims);
        expect(actual!.data).toEqual(expected.data);
        const axes = perms.reduce((all, perm) => perm.map((axis) => all[axis]), [0, 1, 2, 3]);
        const cancels = axes.every((axis, i) => axis === i);
        expect(b.graph.nodes.filter((node) => node.outputs[0] === y).length).toBe(cancels ? 0 : 1);
        expect(b.graph.nodes.find((node) => node.outputs[0] === y)?.inputs).toEqual(
          cancels ? undefined : ["x"],
        );
      }),
      { numRuns: 20 },
    );
  });

  it("keeps an exchange of the last two axes apart from other transposes, and undoes one", () => {
    const b = new GraphBuilder();
    const x = b.input("x", [2, 3, 4, 5]);
    const heads = b.transpose(x, [0, 2, 1, 3]);
    const keys = b.exchange(heads, 4);
    expect(b.graph.nodes.at(-1)).toMatchObject({
      op: "Transpose",
      inputs: [heads],
      attributes: { perm: { value: [0, 1, 3, 2] } },
    });
    expect(b.exchange(b.transpose(x, [0, 1, 3, 2]), 4)).toBe(x);
    expect(b.transpose(keys, [0, 1, 3, 2])).not.toBe(x);
  });

  it("knows the transposes of the graph it extends", () => {
    const b = new GraphBuilder();
    const y = b.transpose(b.input("x", [2, 3]), [1, 0]);
    const extended = new GraphBuilder({ ...b.graph, nodes: [...b.graph.nodes] }, "more/");
    expect(extended.transpose(y, [1, 0])).toBe("x");
  });
});
