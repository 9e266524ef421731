/**
 * How a step's time and peak memory grow as the number of synthetic images, classes, real images in a batch,
 * feature size and image side each double (EfficientNet-Lite0, intermediates recomputed), with fitted exponents.
 *
 *   node growth.js [--points 4] [--steps 3]
 *
 * Ends with one line of JSON: `Growth[]`.
 */
import { parseArgs } from "node:util";
import { fittedExponent, median } from "../lib/measure.ts";
import { Peer } from "../lib/peer.ts";

export interface Growth {
  readonly axis: string;
  readonly points: readonly {
    readonly value: number;
    readonly msPerStep: number;
    readonly peakMemoryBytes: number;
  }[];
  /** p of the fit c·xᵖ. */
  readonly timeExponent: number;
  readonly memoryExponent: number;
  /** Time at the last point over that at the one before. */
  readonly lastDoubling: number;
}

const { values: options } = parseArgs({
  options: {
    points: { type: "string", default: "4" },
    steps: { type: "string", default: "3" },
    threads: { type: "string", default: "2" },
  },
});
const doubled = (from: number): number[] =>
  Array.from({ length: Number(options.points) }, (_, i) => from * 2 ** i);
const base = { m: 32, classes: 16, real: 512, d: 1280, size: 48 };
type Setting = typeof base;
const axes: readonly { axis: string; settings: readonly { value: number; setting: Setting }[] }[] = [
  along("m, images", doubled(32), (m) => ({ m })),
  along("C, classes", doubled(32), (C) => ({ classes: C, m: doubled(32).at(-1)! })),
  along("n, real features", doubled(512), (n) => ({ real: n })),
  along("d, feature size", doubled(256), (d) => ({ d })),
  along("side, px", doubled(32), (side) => ({ size: side })),
];

function along(axis: string, values: readonly number[], change: (value: number) => Partial<Setting>) {
  return { axis, settings: values.map((value) => ({ value, setting: { ...base, ...change(value) } })) };
}

const results: Growth[] = [];
for (const { axis, settings } of axes) {
  const points: Growth["points"][number][] = [];
  for (const { value, setting } of settings) {
    const args = Object.entries(setting).flatMap(([name, x]) => [`--${name}`, `${x}`]);
    const side = Peer.own("own-step.js", [
      ...[...args, "--activations", "recompute", "--parametrization", "pixels"],
      ...["--threads", options.threads],
    ]);
    try {
      const times: number[] = [];
      await side.ask("run");
      for (let i = 0; i < Number(options.steps); i++) times.push(await side.ask<number>("run"));
      const { peakMemoryBytes } = await side.ask<{ peakMemoryBytes: number }>("memory");
      points.push({ value, msPerStep: median(times), peakMemoryBytes });
    } finally {
      await side.end();
    }
  }
  const exponentOf = (y: (p: Growth["points"][number]) => number) =>
    fittedExponent(points.map((p) => ({ x: p.value, y: y(p) })));
  results.push({
    axis,
    points,
    timeExponent: exponentOf((p) => p.msPerStep),
    memoryExponent: exponentOf((p) => p.peakMemoryBytes),
    lastDoubling: points.at(-1)!.msPerStep / points.at(-2)!.msPerStep,
  });
}
console.log(JSON.stringify(results));
