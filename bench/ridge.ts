/**
 * The closed-form probe: ridge solve and adjoint (d = 768) against the machine's own rate of double matrix
 * products, in one run, in turn, with medians over the rounds; and the size from which ONNX Runtime's product
 * beats the JavaScript kernel (`largeProduct`).
 *
 *   node ridge.js [--threads N] [--rounds N] [--quick] [--json]
 *
 * Where the peers are installed, SciPy's LAPACK does the same in turn (bench/peers/ridge.py).
 * `--json` ends with one line: {gemm:{gflops,crossing}, solve:[{m,d,C,solveMs,adjointMs,gflop,shareOfPeak,
 * peer:{solveMs,adjointMs},ratio,agreement}]}. `--early` prints such a line after every case, for a caller whose
 * time may be up, and nothing else.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { formatTable } from "../src/cli/table.ts";
import { chooseGemm, type Gemm, jsGemm, productSizes } from "../src/probe/gemm.ts";
import { type Matrix, matrix } from "../src/probe/matrix.ts";
import { solveRidge } from "../src/probe/ridge.ts";
import { seededRandom } from "../src/random.ts";
import { nodeRuntime } from "../src/runtime/node.ts";
import { ortGemm } from "../src/runtime/ort-gemm.ts";
import { elapsed, median, relativeError } from "./measure.ts";
import { Peer, peerPython } from "./peer.ts";

const { values: options } = parseArgs({
  options: {
    threads: { type: "string", default: "2" },
    rounds: { type: "string", default: "5" },
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    early: { type: "boolean", default: false },
  },
});

const random = seededRandom(0, "ridge bench");
const draw = (rows: number, cols: number): Matrix =>
  matrix(
    rows,
    cols,
    Float64Array.from({ length: rows * cols }, () => random.uniform() - 0.5),
  );

/** Passes products on and adds up their work, in floating-point operations. */
function counting(gemm: Gemm): Gemm & { flop: number } {
  return {
    flop: 0,
    multiply(a, b, how) {
      const { rows, inner, cols } = productSizes(a, b, how);
      this.flop += 2 * rows * inner * cols;
      return gemm.multiply(a, b, how);
    },
  };
}

const ort = ortGemm(nodeRuntime({ threads: Number(options.threads) }));
const gemm = chooseGemm(jsGemm, ort);

interface Case {
  readonly m: number;
  readonly C: number;
  readonly solve: number[];
  readonly adjoint: number[];
  readonly peer: { readonly solve: number[]; readonly adjoint: number[] };
  /** 1e9 floating-point operations of products in solve and adjoint together. */
  gflop: number;
  /** Largest relative difference of W, dZs and dYs from SciPy's. */
  agreement?: number;
}

const d = 768;
const lambda = 0.1;
const rounds = Number(options.rounds);
const cases: Case[] = (options.quick ? [1000, 100] : [1000, 100, 4000]).flatMap((m) =>
  [1000, 100, 10].map((C) => ({
    ...{ m, C, solve: [], adjoint: [], gflop: 0 },
    peer: { solve: [], adjoint: [] },
  })),
);
const [left, right] = [draw(1000, d), draw(d, 1000)];
const peakTimes: number[] = [];
const peer = peerPython() === undefined ? undefined : Peer.python("ridge.py");
const folder = await mkdtemp(join(tmpdir(), "clp-dd-ridge-"));
const file = (name: string): string => join(folder, `${name}.f64`);
try {
  await peer?.ask("threads", { count: Number(options.threads) });
  for (const c of cases) {
    const [Zs, Ys, G] = [draw(c.m, d), draw(c.m, c.C), draw(d, c.C)];
    if (peer !== undefined) {
      for (const [name, { data }] of Object.entries({ Zs, Ys, G })) await writeFile(file(name), data);
      await peer.ask("load", { m: c.m, d, C: c.C, penalty: lambda, folder });
    }
    // Round −1 warms up: sessions are made at their first use.
    for (let round = -1; round < rounds; round++) {
      const counter = counting(gemm);
      let solution: Awaited<ReturnType<typeof solveRidge>> | undefined;
      let back: Awaited<ReturnType<NonNullable<typeof solution>["adjoint"]>> | undefined;
      const solve = await elapsed(async () => {
        solution = await solveRidge(Zs, Ys, { lambda, gemm: counter });
      });
      const adjoint = await elapsed(async () => {
        back = await solution!.adjoint(G);
      });
      const theirs = await peer?.ask<{ solve: number; adjoint: number }>("run");
      const peak = await elapsed(() => ort.multiply(left, right));
      if (round < 0) {
        if (peer === undefined) continue;
        await peer.ask("save");
        const results = { W: solution!.weight, dZs: back!.dZs, dYs: back!.dYs };
        for (const [name, { data }] of Object.entries(results)) {
          c.agreement = Math.max(c.agreement ?? 0, relativeError(data, await doubles(file(name))));
        }
        continue;
      }
      c.solve.push(solve);
      c.adjoint.push(adjoint);
      if (theirs) {
        c.peer.solve.push(theirs.solve);
        c.peer.adjoint.push(theirs.adjoint);
      }
      c.gflop = counter.flop / 1e9;
      peakTimes.push(peak);
    }
    if (options.early) console.log(JSON.stringify(summary()));
  }
} finally {
  await peer?.end();
  await rm(folder, { recursive: true, force: true });
}
if (options.early) process.exit(0);

/** The cases that were measured, by size. */
function summary() {
  const gflops = (2 * 1000 * d * 1000) / median(peakTimes) / 1e6;
  const measured = cases.filter((c) => c.solve.length > 0).sort((a, b) => a.m - b.m || a.C - b.C);
  const solve = measured.map(({ m, C, solve, adjoint, gflop, peer, agreement }) => {
    const [solveMs, adjointMs] = [median(solve), median(adjoint)];
    const shareOfPeak = gflop / ((solveMs + adjointMs) / 1000) / gflops;
    const own = { m, d, C, solveMs, adjointMs, gflop, shareOfPeak };
    if (peer.solve.length === 0) return own;
    const theirs = { solveMs: median(peer.solve), adjointMs: median(peer.adjoint) };
    const ratio = (theirs.solveMs + theirs.adjointMs) / (solveMs + adjointMs);
    return { ...own, peer: theirs, ratio, agreement };
  });
  return { gemm: { gflops }, solve };
}

async function doubles(path: string): Promise<Float64Array> {
  const bytes = await readFile(path);
  return new Float64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 8);
}

const sizes = [8, 12, 16, 20, 24, 28, 32, 40, 48, 64];
const small: { n: number; js: number; ort: number }[] = [];
for (const n of sizes) {
  const [a, b] = [draw(n, n), draw(n, n)];
  const [js, native]: [number[], number[]] = [[], []];
  const repeat = async (kernel: Gemm): Promise<number> => {
    const times = 200;
    const total = await elapsed(async () => {
      for (let i = 0; i < times; i++) await kernel.multiply(a, b);
    });
    return (1000 * total) / times;
  };
  for (let round = -1; round < rounds; round++) {
    const [x, y] = [await repeat(jsGemm), await repeat(ort)];
    if (round < 0) continue;
    js.push(x);
    native.push(y);
  }
  small.push({ n, js: median(js), ort: median(native) });
}
const crossing = small.find(({ js, ort: native }) => native < js)?.n;

const { gemm: rate, solve: solved } = summary();
console.log(
  `double products of 1000 × ${d} × 1000: ${rate.gflops.toFixed(1)} GFLOP/s, ${options.threads} threads`,
);
const cells = solved.map((s) => [
  ...[`${s.m}`, `${s.d}`, `${s.C}`, s.solveMs.toFixed(1), s.adjointMs.toFixed(1), s.gflop.toFixed(2)],
  `${(100 * s.shareOfPeak).toFixed(0)} %`,
  ...("peer" in s ? [s.peer.solveMs.toFixed(1), s.peer.adjointMs.toFixed(1), s.ratio.toFixed(2)] : []),
]);
const head = ["m", "d", "C", "solve ms", "adjoint ms", "GFLOP", "share", "SciPy", "adjoint", "ratio"];
console.log(`\n${formatTable(head, cells)}`);
console.log("\nn × n × n products, µs:   n   JavaScript   ONNX Runtime");
for (const { n, js, ort: native } of small) {
  console.log(`${String(n).padStart(27)} ${js.toFixed(1).padStart(12)} ${native.toFixed(1).padStart(14)}`);
}
if (options.json) console.log(JSON.stringify({ gemm: { ...rate, crossing }, solve: solved }));
await ort.release();
