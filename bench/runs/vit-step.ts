/**
 * Features and pullback of a Vision Transformer (random weights) against the machine's own matrix-product
 * peak, in one run, in turn. Prints medians in wall and in CPU time: on a busy machine one thread's
 * CPU time is the steadier of the two (`--threads 1`).
 *
 *   vit-step [--threads 2] [--batch 8] [--chunk 8] [--rounds 8] [--width 384] [--depth 12] [--profile PREFIX]
 *
 * `--chunk` images go through the graph at a time; `--profile` writes ONNX Runtime's profile of the step.
 */
import { parseArgs } from "node:util";
import { Tensor } from "onnxruntime-common";
import { exposeStatistics } from "../../src/onnx-vjp/compile/expose-statistics.ts";
import { GraphBuilder } from "../../src/onnx-vjp/graph/builder.ts";
import { float, type Graph, int, sizeOf } from "../../src/onnx-vjp/graph/ir.ts";
import { withoutDeadNodes } from "../../src/onnx-vjp/graph/live.ts";
import type { SessionOptions } from "../../src/onnx-vjp/graph/runtime.ts";
import { prepareGraph } from "../../src/onnx-vjp/prepare/prepare.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { derive } from "../../src/onnx-vjp/vjp/derive.ts";
import { countFlops } from "../lib/flops.ts";

const { values: options } = parseArgs({
  options: {
    threads: { type: "string", default: "2" },
    batch: { type: "string", default: "8" },
    chunk: { type: "string" },
    rounds: { type: "string", default: "8" },
    width: { type: "string", default: "384" },
    depth: { type: "string", default: "12" },
    profile: { type: "string" },
  },
});

interface Vit {
  readonly batch: number;
  readonly width: number;
  readonly depth: number;
  readonly heads: number;
  readonly side: number;
  readonly patch: number;
}

const image = "image";
const feature = "feature";

/** Normal numbers by Box and Muller, with a standard deviation that keeps activations of order one. */
function normal(dims: readonly number[], deviation: number): Float32Array {
  const out = new Float32Array(sizeOf(dims));
  for (let i = 0; i < out.length; i++) {
    out[i] = deviation * Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  }
  return out;
}

/** Tokens stay a matrix [batch·tokens, width], so that every linear layer is one Gemm with its bias. */
function buildVit({ batch, width, depth, heads, side, patch }: Vit): GraphBuilder {
  const b = new GraphBuilder();
  const grid = side / patch;
  const tokens = grid * grid + 1;
  const size = width / heads;
  const weights = (dims: readonly number[], deviation: number) => b.floats(dims, normal(dims, deviation));
  const linear = (x: string, from: number, to: number): string =>
    b.op("Gemm", [x, weights([from, to], 1 / Math.sqrt(from)), weights([to], 0.02)]);
  const norm = (x: string): string =>
    b.op("LayerNormalization", [x, weights([width], 1), weights([width], 0.02)], { epsilon: float(1e-6) });

  b.input(image, [batch, 3, side, side]);
  const cells = b.reshape(image, [batch, 3, grid, patch, grid, patch]);
  const patches = b.reshape(b.transpose(cells, [0, 2, 4, 1, 3, 5]), [batch * grid * grid, 3 * patch * patch]);
  const embedded = b.reshape(linear(patches, 3 * patch * patch, width), [batch, grid * grid, width]);
  const first = b.op("Expand", [weights([1, 1, width], 0.02), b.ints([batch, 1, width])]);
  const sequence = b.op("Concat", [first, embedded], { axis: int(1) });
  const placed = b.op("Add", [sequence, weights([1, tokens, width], 0.02)]);
  let x = b.reshape(placed, [batch * tokens, width]);
  for (let block = 0; block < depth; block++) {
    const qkv = b.reshape(linear(norm(x), width, 3 * width), [batch, tokens, 3, heads, size]);
    const [q, k, v] = b
      .ops("Split", [b.transpose(qkv, [2, 0, 3, 1, 4])], 3, { axis: int(0), num_outputs: int(3) })
      .map((part) => b.reshape(part, [batch, heads, tokens, size])) as [string, string, string];
    const scaled = b.op("Mul", [q, b.scalar(1 / Math.sqrt(size))]);
    const scores = b.op("MatMul", [scaled, b.exchange(k, 4)]);
    const mixed = b.op("MatMul", [b.op("Softmax", [scores]), v]);
    const joined = b.reshape(b.transpose(mixed, [0, 2, 1, 3]), [batch * tokens, width]);
    x = b.op("Add", [x, linear(joined, width, width)]);
    const hidden = b.op("Gelu", [linear(norm(x), width, 4 * width)], {}, "com.microsoft");
    x = b.op("Add", [x, linear(hidden, 4 * width, width)]);
  }
  const last = b.reshape(x, [batch, tokens, width]);
  const cls = b.op("Slice", [last, b.ints([0]), b.ints([1]), b.ints([1])]);
  const out = b.op("LayerNormalization", [cls, weights([width], 1), weights([width], 0.02)]);
  b.named("Reshape", [out, b.ints([batch, width])], feature);
  b.graph.outputs.push({ name: feature, dtype: "float32", dims: [batch, width] });
  return b;
}

interface Timed {
  readonly name: string;
  readonly flops: number;
  readonly run: () => Promise<unknown>;
  readonly release: () => Promise<void>;
  /** Milliseconds of each round. */
  readonly wall: number[];
  readonly cpu: number[];
}

/** A graph on normal numbers, run `times` a round. */
async function timed(
  name: string,
  flops: number,
  graph: Graph,
  times = 1,
  options: SessionOptions = {},
): Promise<Timed> {
  const session = await runtime.session(graph, options);
  const feeds = Object.fromEntries(
    graph.inputs.map((input) => {
      const dims = input.dims as number[];
      return [input.name, new Tensor("float32", normal(dims, 1), dims)];
    }),
  );
  const run = async () => {
    for (let i = 0; i < times; i++) await session.run(feeds);
  };
  return { name, flops: flops * times, run, release: () => session.release(), wall: [], cpu: [] };
}

function product(m: number, k: number, n: number): Promise<Timed> {
  const b = new GraphBuilder();
  b.output(b.op("Gemm", [b.input("a", [m, k]), b.floats([k, n], normal([k, n], 1))]), { dims: [m, n] });
  return timed(`product ${m}×${k}×${n}`, 2 * m * k * n, b.graph);
}

const batch = Number(options.batch);
const chunk = Number(options.chunk ?? batch);
const width = Number(options.width);
const vit: Vit = {
  batch: chunk,
  width,
  depth: Number(options.depth),
  heads: width / 64,
  side: 224,
  patch: 16,
};
const runtime = nodeRuntime({ threads: Number(options.threads) });
const dims = [chunk, 3, vit.side, vit.side];
const traced = exposeStatistics(await prepareGraph(runtime, buildVit(vit).graph, { [image]: dims }));
const derived = derive(traced, [image], [feature]);
const gradient = { name: derived.gradients[0], dtype: "float32" as const, dims };
const joint = withoutDeadNodes({ ...derived.graph, outputs: [...traced.outputs, gradient] });
const work = countFlops(traced, [image], [feature]);
const tokens = batch * 197;
const products = [
  await product(1024, 1024, 1024),
  await product(tokens, width, 4 * width),
  await product(tokens, 4 * width, width),
];
const features = await timed("features", work.forward, withoutDeadNodes(traced), batch / chunk);
const profile = options.profile === undefined ? {} : { profile: options.profile };
const step = await timed("features + pullback", work.forward + work.pullback, joint, batch / chunk, profile);
const cases = [...products, features, step];
for (let round = -1; round < Number(options.rounds); round++) {
  for (const { run, wall, cpu } of cases) {
    const before = process.cpuUsage();
    const start = performance.now();
    await run();
    const elapsed = performance.now() - start;
    const { user, system } = process.cpuUsage(before);
    if (round < 0) continue;
    wall.push(elapsed);
    cpu.push((user + system) / 1000);
  }
}
// A profile is written when its session goes.
for (const { release } of cases) await release();

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[values.length >> 1];
console.log(`batch ${batch} in chunks of ${chunk}, width ${width}, ${options.threads} threads`);
for (const clock of ["wall", "cpu"] as const) {
  const rate = (c: Timed) => c.flops / median(c[clock]) / 1e6;
  const peak = Math.max(...products.map(rate));
  console.log(`${clock} time; peak ${peak.toFixed(1)} GFLOP/s`);
  const row = (name: string, ms: number, gflops: number): void => {
    const share = `${((100 * gflops) / peak).toFixed(0)} %`;
    console.log(
      `  ${name.padEnd(36)} ${ms.toFixed(1).padStart(8)} ms ${gflops.toFixed(1).padStart(7)} GFLOP/s ${share}`,
    );
  };
  for (const c of cases) row(c.name, median(c[clock]), rate(c));
  const conservative = 2 * features.flops;
  row("the same, counted as 2 × features", median(step[clock]), conservative / median(step[clock]) / 1e6);
}
