/**
 * The closed-form probe: ridge solve and adjoint against the machine's own rate of double matrix
 * products, in one run, in turn, with medians over the rounds; and the size from which ONNX Runtime's product
 * beats the JavaScript kernel (`largeProduct`).
 *
 *   node ridge.js [--threads N] [--rounds N] [--quick] [--only M:D:C,…] [--json]
 *
 * Where the peers are installed, SciPy's LAPACK does the same in turn (bench/peers/ridge.py); the ratio is its time
 * over ours, of the medians and of the shortest rounds.
 * `--json` ends with one line: {gemm:{gflops,crossing}, solve:[{m,d,C,solveMs,adjointMs,gflop,shareOfPeak,
 * peer:{solveMs,adjointMs},ratio,leastRatio,agreement}]}. `--early` prints such a line after every case, for a caller whose
 * time may be up, and nothing else.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { formatTable } from "../../src/cli/table.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { chooseGemm, type Gemm, jsGemm, productSizes } from "../../src/probe/gemm.ts";
import { type Matrix, matrix } from "../../src/probe/matrix.ts";
import { ortGemm } from "../../src/probe/ort-gemm.ts";
import { solveRidge } from "../../src/probe/ridge.ts";
import { seededRandom } from "../../src/random.ts";
import { elapsed, median, relativeError } from "../lib/measure.ts";
import { Peer, peerPython } from "../lib/peer.ts";

const { values: options } = parseArgs({
  options: {
    threads: { type: "string", default: "2" },
    rounds: { type: "string", default: "5" },
    quick: { type: "boolean", default: false },
    only: { type: "string" },
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
  readonly d: number;
  readonly C: number;
  readonly solve: number[];
  readonly adjoint: number[];
  readonly peer: { readonly solve: number[]; readonly adjoint: number[] };
  /** 1e9 floating-point operations of products in solve and adjoint together. */
  gflop: number;
  /** Largest relative difference of W, dZs and dYs from SciPy's. */
  agreement?: number;
}

const lambda = 0.1;
const rounds = Number(options.rounds);
/** The last are those of a distillation's steps. */
const sizes = [
  ...(options.quick ? [1000, 100] : [1000, 100, 4000]).flatMap((m) =>
    [1000, 100, 10].map((C) => [m, 768, C]),
  ),
  [8, 1280, 8],
];
const only = options.only?.split(",").map((size) => size.split(":").map(Number));
const cases = (only ?? sizes).map(([m = 0, d = 0, C = 0]): Case => {
  return { m, d, C, solve: [], adjoint: [], gflop: 0, peer: { solve: [], adjoint: [] } };
});
/** A library's threads spin for a while after their last task (OpenBLAS's, 0.1 s): the next side is to find them asleep. */
const asleep = () => new Promise((done) => setTimeout(done, 150));
const [left, right] = [draw(1000, 768), draw(768, 1000)];
const peakTimes: number[] = [];
const peer = peerPython() === undefined ? undefined : Peer.python("ridge.py");
const folder = await mkdtemp(join(tmpdir(), "clp-dd-ridge-"));
const file = (name: string): string => join(folder, `${name}.f64`);
try {
  await peer?.ask("threads", { count: Number(options.threads) });
  for (const c of cases) {
    const { m, d, C } = c;
    const [Zs, Ys, G] = [draw(m, d), draw(m, C), draw(d, C)];
    if (peer !== undefined) {
      for (const [name, { data }] of Object.entries({ Zs, Ys, G })) await writeFile(file(name), data);
      await peer.ask("load", { m, d, C, penalty: lambda, folder });
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
      if (peer !== undefined) await asleep();
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

function least(times: readonly number[]): number {
  return Math.min(...times);
}

/** The cases that were measured, by size. */
function summary() {
  const gflops = (2 * 1000 * 768 * 1000) / median(peakTimes) / 1e6;
  const measured = cases.filter((c) => c.solve.length > 0).sort((a, b) => a.m - b.m || a.C - b.C);
  const solve = measured.map(({ m, d, C, solve, adjoint, gflop, peer, agreement }) => {
    const [solveMs, adjointMs] = [median(solve), median(adjoint)];
    const shareOfPeak = gflop / ((solveMs + adjointMs) / 1000) / gflops;
    const own = { m, d, C, solveMs, adjointMs, gflop, shareOfPeak };
    if (peer.solve.length === 0) return own;
    const theirs = { solveMs: median(peer.solve), adjointMs: median(peer.adjoint) };
    const ratio = (theirs.solveMs + theirs.adjointMs) / (solveMs + adjointMs);
    const leastRatio = (least(peer.solve) + least(peer.adjoint)) / (least(solve) + least(adjoint));
    return { ...own, peer: theirs, ratio, leastRatio, agreement };
  });
  return { gemm: { gflops }, solve };
}

async function doubles(path: string): Promise<Float64Array> {
  const bytes = await readFile(path);
  return new Float64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 8);
}

const small = [8, 12, 16, 20, 24, 28, 32, 40, 48, 64];
const crossings: { n: number; js: number; ort: number }[] = [];
for (const n of small) {
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
  crossings.push({ n, js: median(js), ort: median(native) });
}
const crossing = crossings.find(({ js, ort: native }) => native < js)?.n;

const { gemm: rate, solve: solved } = summary();
console.log(
  `double products of 1000 × 768 × 1000: ${rate.gflops.toFixed(1)} GFLOP/s, ${options.threads} threads`,
);
const cells = solved.map((s) => [
  ...[`${s.m}`, `${s.d}`, `${s.C}`, s.solveMs.toFixed(1), s.adjointMs.toFixed(1), s.gflop.toFixed(2)],
  `${(100 * s.shareOfPeak).toFixed(0)} %`,
  ...("peer" in s
    ? [
        s.peer.solveMs.toFixed(1),
        s.peer.adjointMs.toFixed(1),
        s.ratio.toFixed(2),
        s.leastRatio.toFixed(2),
        s.agreement?.toExponential(0) ?? "",
      ]
    : []),
]);
const head = [
  "m",
  "d",
  "C",
  "solve ms",
  "adjoint ms",
  "GFLOP",
  "share",
  "SciPy",
  "adjoint",
  "ratio",
  "least",
  "agreement",
];
console.log(`\n${formatTable(head, cells)}`);
console.log("\nn × n × n products, µs:   n   JavaScript   ONNX Runtime");
for (const { n, js, ort: native } of crossings) {
  console.log(`${String(n).padStart(27)} ${js.toFixed(1).padStart(12)} ${native.toFixed(1).padStart(14)}`);
}
if (options.json) console.log(JSON.stringify({ gemm: { ...rate, crossing }, solve: solved }));
await ort.release();
