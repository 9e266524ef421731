/**
 * The benchmarks, one after the other, each in a process of its own; writes docs/benchmarks.md.
 *
 *   npm run bench -- [--quick] [--json]
 *
 * `--json` ends with one line: {solve:[{m,d,C,solveMs,adjointMs,…}], memory:[{m,peakMemoryBytes,…}]}.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, loadavg, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { env } from "onnxruntime-node";
import * as z from "zod";
import { formatTable } from "../src/cli/table.ts";

const { values: options } = parseArgs({
  options: { quick: { type: "boolean", default: false }, json: { type: "boolean", default: false } },
});
const Ridge = z.object({
  gemm: z.object({ gflops: z.number() }),
  solve: z.array(
    z.object({ m: z.number(), d: z.number(), C: z.number(), solveMs: z.number(), adjointMs: z.number() }),
  ),
});
const Memory = z.object({
  m: z.number(),
  batch: z.number(),
  peakMemoryBytes: z.number(),
  parameterBytes: z.number(),
  activationBytes: z.number(),
  secondsPerStep: z.number(),
});

/** Runs a benchmark beside this file and reads the line of JSON that it ends with. */
function child(name: string, args: readonly string[]): unknown {
  const file = fileURLToPath(new URL(`./${name}.js`, import.meta.url));
  const text = execFileSync(process.execPath, [file, ...args], { encoding: "utf8" });
  return JSON.parse(text.trimEnd().split("\n").at(-1)!);
}

const load = loadavg()[0]!;
const rounds = options.quick ? ["--quick", "--rounds", "1"] : [];
const ridge = Ridge.parse(child("ridge", [...rounds, "--json"]));
const memory = [10, 100, 1000].map((m) =>
  Memory.parse(child("memory", ["--m", String(m), "--steps", options.quick ? "1" : "3"])),
);
const mebibytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);
const solveTable = formatTable(
  ["m", "d", "C", "solve ms", "adjoint ms"],
  ridge.solve.map((s) => [`${s.m}`, `${s.d}`, `${s.C}`, s.solveMs.toFixed(1), s.adjointMs.toFixed(1)]),
);
const memoryTable = formatTable(
  ["m", "chunk", "peak MiB", "parameters + Adam MiB", "one chunk MiB", "s a step"],
  memory.map((r) => [
    ...[`${r.m}`, `${r.batch}`, mebibytes(r.peakMemoryBytes), mebibytes(r.parameterBytes)],
    ...[mebibytes(r.activationBytes), r.secondsPerStep.toFixed(2)],
  ]),
);
const shared = load > 2.5 ? " Other programs were using the machine: times are noisy." : "";
const page = `# Benchmarks

Written by \`npm run bench${options.quick ? " -- --quick" : ""}\` on ${new Date().toISOString().slice(0, 10)}; ${cpus()[0]?.model.trim()}, ${cpus().length} cores,
${(totalmem() / 2 ** 30).toFixed(0)} GiB; Node ${process.versions.node}, ONNX Runtime ${env.versions.node ?? env.versions.common}.
Load average at the start: ${load.toFixed(1)}.${shared}

## Closed-form probe: solve and adjoint, in double

Double matrix products here: ${ridge.gemm.gflops.toFixed(1)} GFLOP/s.

\`\`\`
${solveTable}
\`\`\`

## Memory of a distillation

EfficientNet-Lite0 at 64 px, pixels, random real features, intermediates recomputed chunk by chunk. The peak is
the whole process: Node, ONNX Runtime, weights, parameters, one chunk.

\`\`\`
${memoryTable}
\`\`\`
`;
mkdirSync("docs", { recursive: true });
writeFileSync("docs/benchmarks.md", page);
console.log(page);
if (options.json) console.log(JSON.stringify({ solve: ridge.solve, memory }));
