/**
 * Distillation steps with 1, 2, 4, … threads up to the machine's cores, in turns, each number in its own processes: medians
 * of the time, peak memory, and a model of the time with more cores.
 *
 *   node scaling.js [--model efficientnet-lite0] [--size 128] [--m 8] [--augment 1] [--rounds 5]
 *
 * Ends with one line of JSON: `Scaling`.
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { inTurn, median } from "../lib/measure.ts";
import { exportedModel, Peer, peerPython } from "../lib/peer.ts";

export interface Scaling {
  readonly model: string;
  readonly size: number;
  readonly m: number;
  readonly points: readonly {
    readonly threads: number;
    readonly msPerStep: number;
    readonly peakMemoryBytes: number;
  }[];
  /** As many runs of one thread as there are cores, at the same time: milliseconds per step over all of them. */
  readonly sideBySide?: number;
  /** Milliseconds of a step with 16 threads, from those with 1 and 2; absent on one core. */
  readonly fitted?: number;
}

const { values: options } = parseArgs({
  options: {
    model: { type: "string", default: "efficientnet-lite0" },
    size: { type: "string", default: "128" },
    m: { type: "string", default: "8" },
    augment: { type: "string", default: "1" },
    rounds: { type: "string", default: "5" },
  },
});
const { model, size, m, augment } = options;
/** Of a turn: after another side's, it takes some steps until a process is as fast as in a run of its own. */
const turnSeconds = 6;
const fittedThreads = 16;

const threads: number[] = [];
for (let n = 1; n <= availableParallelism(); n *= 2) threads.push(n);
const encoder =
  model === "efficientnet-lite0" || peerPython() === undefined ? model : exportedModel(model, Number(size));
const sides = new Map<string, Peer>();
const crowd: Peer[] = [];
const turn = (side: Peer) => side.ask<number>("run", { seconds: turnSeconds });
/** The rates of all add up. */
const crowdTurn = async () => {
  const each = await Promise.all(crowd.map(turn));
  return 1 / each.reduce((sum, milliseconds) => sum + 1 / milliseconds, 0);
};
try {
  const args = ["--encoder", encoder, "--size", size, "--m", m, "--classes", "8", "--augment", augment];
  for (const n of threads) {
    sides.set(`${n}`, Peer.own("own-step.js", [...args, "--threads", `${n}`]));
  }
  const most = threads.at(-1)!;
  if (most > 1)
    for (let i = 0; i < most; i++) crowd.push(Peer.own("own-step.js", [...args, "--threads", "1"]));
  const rounds = Number(options.rounds);
  const times = await inTurn(
    Object.fromEntries([
      ...[...sides].map(([name, side]) => [name, () => turn(side)] as const),
      ...(crowd.length > 0 ? [["crowd", crowdTurn] as const] : []),
    ]),
    { warmUp: 0, least: rounds, most: rounds },
  );
  const points: Scaling["points"][number][] = [];
  for (const n of threads) {
    const { peakMemoryBytes } = await sides.get(`${n}`)!.ask<{ peakMemoryBytes: number }>("memory");
    points.push({ threads: n, msPerStep: median(times[`${n}`]!), peakMemoryBytes });
  }
  const [one, two] = points;
  // T(n) = a + b/n through the first two.
  const shared = two && 2 * (one!.msPerStep - two.msPerStep);
  // More than twice as fast with two threads is another program's work in one of the turns: nothing follows from it.
  const fitted =
    shared === undefined || shared > one!.msPerStep
      ? {}
      : { fitted: one!.msPerStep - shared + shared / fittedThreads };
  const sideBySide = crowd.length > 0 ? { sideBySide: median(times.crowd) } : {};
  const result: Scaling = { model, size: Number(size), m: Number(m), points, ...sideBySide, ...fitted };
  console.log(JSON.stringify(result));
} finally {
  for (const side of [...sides.values(), ...crowd]) await side.end();
}
