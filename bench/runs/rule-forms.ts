/**
 * Function and pullback of the pieces of a Vision Transformer in the forms they can be written in, in one run,
 * in turn: median CPU time of one thread, 2 images of ViT-S/16.
 *
 *   rule-forms [--rounds 40]
 */
import { parseArgs } from "node:util";
import { Tensor } from "onnxruntime-common";
import { exposeStatistics } from "../../src/onnx-vjp/compile/expose-statistics.ts";
import { GraphBuilder } from "../../src/onnx-vjp/graph/builder.ts";
import { float, int, sizeOf } from "../../src/onnx-vjp/graph/ir.ts";
import { withoutDeadNodes } from "../../src/onnx-vjp/graph/live.ts";
import { trace } from "../../src/onnx-vjp/prepare/trace.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { derive } from "../../src/onnx-vjp/vjp/derive.ts";

const { values: options } = parseArgs({ options: { rounds: { type: "string", default: "40" } } });
const runtime = nodeRuntime({ threads: 1 });

const numbers = (dims: readonly number[]): Float32Array =>
  Float32Array.from({ length: sizeOf(dims) }, () => 2 * Math.random() - 1);

interface Form {
  readonly name: string;
  readonly dims: readonly number[];
  readonly write: (b: GraphBuilder, x: string) => string;
  readonly statistics?: boolean;
}

const mean = (b: GraphBuilder, x: string) => b.op("ReduceMean", [x, b.ints([-1])], { keepdims: int(1) });
const row = (b: GraphBuilder) => b.floats([384], numbers([384]));
const layerNorm = (b: GraphBuilder, x: string) => b.op("LayerNormalization", [x, row(b), row(b)]);

const forms: readonly Form[] = [
  { name: "nothing, 4 × width", dims: [394, 1536], write: (b, x) => b.op("Neg", [x]) },
  {
    name: "Gelu, fused",
    dims: [394, 1536],
    write: (b, x) => b.op("Gelu", [x], {}, "com.microsoft"),
  },
  {
    name: "Gelu, chain of Erf",
    dims: [394, 1536],
    write: (b, x) => {
      const phi = b.op("Add", [b.op("Erf", [b.op("Div", [x, b.scalar(Math.SQRT2)])]), b.scalar(1)]);
      return b.op("Mul", [b.op("Mul", [x, phi]), b.scalar(0.5)]);
    },
  },
  { name: "nothing, width", dims: [394, 384], write: (b, x) => b.op("Neg", [x]) },
  { name: "LayerNormalization, statistics", dims: [394, 384], write: layerNorm, statistics: true },
  { name: "LayerNormalization", dims: [394, 384], write: layerNorm },
  {
    name: "LayerNormalization, chain",
    dims: [394, 384],
    write: (b, x) => {
      const centered = b.op("Sub", [x, mean(b, x)]);
      const variance = mean(b, b.op("Pow", [centered, b.scalar(2)]));
      const normalized = b.op("Div", [
        centered,
        b.op("Sqrt", [b.op("Add", [variance, b.scalar(1e-6, "float32")])]),
      ]);
      return b.op("Add", [b.op("Mul", [normalized, row(b)]), row(b)]);
    },
  },
  {
    name: "RMSNormalization, fused",
    dims: [394, 384],
    statistics: true,
    write: (b, x) => b.op("SimplifiedLayerNormalization", [x, row(b)], { epsilon: float(1e-6) }),
  },
  {
    name: "RMSNormalization, chain",
    dims: [394, 384],
    write: (b, x) => {
      const square = b.op("Add", [mean(b, b.op("Mul", [x, x])), b.scalar(1e-6)]);
      return b.op("Mul", [b.op("Mul", [x, b.op("Reciprocal", [b.op("Sqrt", [square])])]), row(b)]);
    },
  },
];

const cases = [];
for (const { name, dims, write, statistics } of forms) {
  const b = new GraphBuilder();
  const x = b.input("x", dims);
  // The function's value is computed from x and read: neither end of it is the graph's own.
  const y = write(b, b.op("Neg", [x]));
  const out = b.op("ReduceMean", [b.op("Neg", [y]), b.ints([1])], { keepdims: int(1) });
  b.output(out, { dims: [dims[0], 1] });
  const traced = await trace(runtime, b.graph, { x: dims });
  const derived = derive(statistics ? exposeStatistics(traced) : traced, ["x"], [out]);
  const gradient = derived.gradients[0];
  const outputs = [
    { name: out, dtype: "float32" as const, dims: [dims[0], 1] },
    { name: gradient, dtype: "float32" as const, dims },
  ];
  const session = await runtime.session(withoutDeadNodes({ ...derived.graph, outputs }));
  const feeds = {
    x: new Tensor("float32", numbers(dims), dims),
    [derived.cotangents[0]]: new Tensor("float32", numbers([dims[0], 1]), [dims[0], 1]),
  };
  const into = await session.run(feeds);
  cases.push({ name, run: () => session.run(feeds, { into }), ms: [] as number[] });
}
for (let round = 0; round < Number(options.rounds); round++) {
  for (const { run, ms } of cases) {
    const before = process.cpuUsage();
    await run();
    const { user, system } = process.cpuUsage(before);
    ms.push((user + system) / 1000);
  }
}
for (const { name, ms } of cases) {
  const median = ms.sort((a, b) => a - b)[ms.length >> 1];
  console.log(`${name.padEnd(32)} ${median.toFixed(2)} ms`);
}
