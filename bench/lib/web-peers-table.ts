/** What bench/runs/web-peers.ts finds, and how it is printed. */
import { formatTable } from "../../src/cli/table.ts";

/** Features alone, or features and pixel gradient. */
export type Mode = "features" | "step";

/** Who did it: ONNX Runtime in Node, ONNX Runtime Web, and the peers. */
export type Side = "own" | "ort" | "tfjs" | "jax";

export const sides: Readonly<Record<Side, string>> = {
  own: "ours",
  ort: "ours in wasm",
  tfjs: "TensorFlow.js",
  jax: "jax-js",
};
const order: readonly Side[] = ["own", "ort", "tfjs", "jax"];

/** One batch size and mode. */
export interface WebRow {
  readonly batch: number;
  readonly mode: Mode;
  readonly rounds: number;
  /** Medians in milliseconds, absent where a side cannot run it. */
  readonly ms: Partial<Readonly<Record<Side, number>>>;
  /** ‖theirs − ours‖ / ‖ours‖ of the features, or of the gradient in a step. */
  readonly differences: Partial<Readonly<Record<Side, number>>>;
}

export interface WebPeers {
  readonly model: string;
  readonly size: number;
  /** Of each side's library, by its name, and of the browser. */
  readonly versions: Readonly<Record<string, string>>;
  /** Threads each side in the browser says it used. */
  readonly threads: Partial<Readonly<Record<Side, number>>>;
  readonly notes: readonly string[];
  readonly rows: readonly WebRow[];
}

const absent = "–";
const milliseconds = (value: number | undefined): string =>
  value === undefined ? absent : value.toFixed(value < 99.95 ? 1 : 0);
const ratio = (theirs: number | undefined, ours: number | undefined): string =>
  theirs === undefined || ours === undefined ? absent : (theirs / ours).toFixed(2);

/** A line for each side, with how often ours goes into its time: ours in Node, and ours in the same browser. */
export function webPeersTable(results: readonly WebPeers[]): string {
  return formatTable(
    ["model", "batch", "what", "by", "ms", "ratio", "wasm", "Δ"],
    results.flatMap(({ model, rows }) =>
      rows.flatMap(({ batch, mode, ms, differences }) =>
        order.map((side) => [
          ...[model, String(batch), mode, sides[side], milliseconds(ms[side])],
          side === "own" ? absent : ratio(ms[side], ms.own),
          side === "own" || side === "ort" ? absent : ratio(ms[side], ms.ort),
          differences[side]?.toExponential(1) ?? absent,
        ]),
      ),
    ),
  );
}

/** Each side in the browser with its version and the threads that it used, and the browser, as a sentence. */
export function usedText(results: readonly WebPeers[]): string {
  const versions = Object.assign({}, ...results.map((r) => r.versions)) as Record<string, string>;
  const parts = order.flatMap((side) => {
    const threads = new Set(results.flatMap((r) => r.threads[side] ?? []));
    if (threads.size === 0) return [];
    return `${sides[side]} (${versions[sides[side]]}) ${[...threads].join(" and ")}`;
  });
  return `Threads: ${parts.join(", ")}; ${versions.browser}.`;
}
