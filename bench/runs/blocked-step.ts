/**
 * An encoder's features and pullback with convolutions in the blocked layout throughout, against the same graphs as
 * ONNX Runtime lays them out itself, in one run, in turn. Medians and minima in wall and in CPU time.
 *
 *   blocked-step [--encoder efficientnet-lite0] [--size 128] [--batch 8] [--threads 2] [--rounds 20]
 */
import { parseArgs } from "node:util";
import { Tensor } from "onnxruntime-common";
import { formatTable } from "../../src/cli/table.ts";
import { imagesInput } from "../../src/encoder/batched-features.ts";
import { openEncoder } from "../../src/encoder/open-encoder.ts";
import { compileDerivative, type Saved } from "../../src/onnx-vjp/compile/differentiable.ts";
import { seededRandom } from "../../src/random.ts";
import { median, relativeError } from "../lib/measure.ts";

const { values: options } = parseArgs({
  options: {
    encoder: { type: "string", default: "efficientnet-lite0" },
    size: { type: "string", default: "128" },
    batch: { type: "string", default: "8" },
    threads: { type: "string", default: "2" },
    rounds: { type: "string", default: "20" },
  },
});
const [size, batch] = [Number(options.size), Number(options.batch)];
const { runtime, encoder } = await openEncoder({
  encoder: options.encoder,
  size,
  threads: Number(options.threads),
});
const plan = await encoder.plan(batch);
const { convolutionBlock: _, ...asItIs } = runtime;
const sides = [
  { name: "blocked throughout", compiled: await compileDerivative(runtime, plan, "save") },
  { name: "as ONNX Runtime lays it out", compiled: await compileDerivative(asItIs, plan, "save") },
].map((side) => ({ ...side, saved: {} as Saved, wall: [[], []] as number[][], cpu: [[], []] as number[][] }));

const random = seededRandom(0, "blocked step");
const dims = [batch, 3, size, size];
const images = Float32Array.from({ length: batch * 3 * size * size }, () => random.uniform());
const cotangent = Float32Array.from({ length: batch * encoder.featureSize }, () => random.normal());
const feeds = { [imagesInput]: new Tensor("float32", images, dims) };

/** Runs `work` and notes wall and CPU time, milliseconds, as pass `pass` of a side. */
async function timed<T>(side: (typeof sides)[number], pass: number, work: () => Promise<T>): Promise<T> {
  const cpu = process.cpuUsage();
  const start = performance.now();
  const result = await work();
  side.wall[pass].push(performance.now() - start);
  const { user, system } = process.cpuUsage(cpu);
  side.cpu[pass].push((user + system) / 1000);
  return result;
}

let gradients: Float32Array[] = [];
for (let round = 0; round < Number(options.rounds) + 2; round++) {
  gradients = [];
  for (const side of sides) {
    const reuse = Object.keys(side.saved).length > 0 ? side.saved : undefined;
    const { saved } = await timed(side, 0, () => side.compiled.forward(feeds, reuse));
    side.saved = saved;
    const back = await timed(side, 1, () => side.compiled.pullback(feeds, saved, cotangent));
    gradients.push(back[imagesInput]);
  }
}
const shown = (times: readonly number[]): string => {
  const counted = times.slice(2);
  return `${median(counted).toFixed(1)} (${Math.min(...counted).toFixed(1)})`;
};
console.log(
  `${encoder.provenance.id}@${size}, ${batch} images, ${options.threads} threads; milliseconds, median (least)\n`,
);
console.log(
  formatTable(
    ["layout", "features", "pullback", "features, cpu", "pullback, cpu"],
    sides.map(({ name, wall, cpu }) => [name, ...[...wall, ...cpu].map(shown)]),
  ),
);
console.log(
  `\nrelative difference of the gradients: ${relativeError(gradients[0], gradients[1]).toExponential(1)}`,
);
for (const { compiled } of sides) await compiled.release();
await encoder.release();
