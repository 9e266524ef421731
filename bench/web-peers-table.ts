/** What bench/web-peers.ts finds, and how it is printed. */
import { formatTable } from "../src/cli/table.ts";

/** Features alone, or features and pixel gradient. */
export type Mode = "features" | "step";

/** Who did it: ONNX Runtime in Node, ONNX Runtime Web, and the peers. */
export type Side = "own" | "ort" | "tfjs" | "jax";

export const sides: Readonly<Record<Side, string>> = {
  own: "ours",
  ort: "ours by ONNX Runtime Web",
  tfjs: "TensorFlow.js",
  jax: "jax-js",
};

/** One batch size and mode; milliseconds are medians, absent where a side cannot run it. */
export interface WebRow {
  readonly batch: number;
  readonly mode: Mode;
  readonly rounds: number;
  readonly ms: Partial<Readonly<Record<Side, number>>>;
}

/** ‖theirs − ours‖ / ‖ours‖ at the first batch; the gradient's where there is one. */
export interface Difference {
  readonly features?: number;
  readonly gradient?: number;
}

export interface WebPeers {
  readonly model: string;
  readonly size: number;
  /** Threads each side in the browser says it used. */
  readonly threads: Partial<Readonly<Record<Side, number>>>;
  readonly differences: Partial<Readonly<Record<Side, Difference>>>;
  readonly notes: readonly string[];
  readonly rows: readonly WebRow[];
}

const absent = "–";
const milliseconds = (value: number | undefined): string =>
  value === undefined ? absent : value.toFixed(value < 99.95 ? 1 : 0);
const ratio = (theirs: number | undefined, ours: number | undefined): string =>
  theirs === undefined || ours === undefined ? absent : (theirs / ours).toFixed(2);
const exponential = (value: number | undefined): string => value?.toExponential(1) ?? absent;

/** Times, and how often each peer's goes into ours, native and in the same browser. */
export function timesTable(results: readonly WebPeers[]): string {
  return formatTable(
    ["model", "batch", "what", "ours", "in wasm", "tfjs", "ratio", "wasm", "jax-js", "ratio", "wasm"],
    results.flatMap(({ model, rows }) =>
      rows.map(({ batch, mode, ms: { own, ort, tfjs, jax } }) => [
        ...[model, String(batch), mode, milliseconds(own), milliseconds(ort)],
        ...[milliseconds(tfjs), ratio(tfjs, own), ratio(tfjs, ort)],
        ...[milliseconds(jax), ratio(jax, own), ratio(jax, ort)],
      ]),
    ),
  );
}

/** Who used how many threads, and how far its numbers are from ours. */
export function differencesTable(results: readonly WebPeers[]): string {
  const browser: readonly Side[] = ["ort", "tfjs", "jax"];
  return formatTable(
    ["model", "by", "threads", "Δ features", "Δ gradient"],
    results.flatMap(({ model, threads, differences }) =>
      browser
        .filter((side) => threads[side] !== undefined)
        .map((side) => [
          ...[model, sides[side], String(threads[side])],
          ...[exponential(differences[side]?.features), exponential(differences[side]?.gradient)],
        ]),
    ),
  );
}
