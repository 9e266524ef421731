import { type RuleTable, sumTo } from "./rule.ts";

export const elementwiseRules: RuleTable = {
  Identity: (_, [dy]) => [dy!],
  Add: (c, [dy]) => [0, 1].map((i) => (c.needs(i) ? sumTo(c.b, dy!, c.outputDims(0), c.inputDims(i)) : null)),
  Mul: (c, [dy]) =>
    [0, 1].map((i) =>
      c.needs(i)
        ? sumTo(c.b, c.b.op("Mul", [dy!, c.node.inputs[1 - i]!]), c.outputDims(0), c.inputDims(i))
        : null,
    ),
};
