/**
 * What alignment says of transfer: for each encoder a set of the embedded emojis (8 groups, one image per class) is
 * distilled, read by every other encoder on the real test images, and held against the encoders' mutual
 * nearest-neighbor alignment on training images. Sets for several encoders at once are measured the same way, on encoders
 * that were left out. Every result is kept in docs/transfer.json, and docs/transfer.md is written from there.
 *
 *   node .bench/bench/pages/transfer.js --encoders A@128,B.onnx@128,… [--made A@128,A@128+B.onnx@48,…] [--steps 150] [--threads 1]
 *
 * Every encoder of --encoders reads; --made names those (or sums of them) that sets are made for, by default each. What is
 * kept is not run again.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { parseEncoderSpec } from "../../src/encoder/spec.ts";
import { userCache } from "../../src/files/cache-location.ts";
import { alignEncoders } from "../../src/jobs/align-encoders.ts";
import { runDistillation } from "../../src/jobs/distill.ts";
import { runEvaluation } from "../../src/jobs/evaluate.ts";
import { encoderLabel } from "../../src/jobs/evaluate-columns.ts";

const { values: options } = parseArgs({
  options: {
    encoders: { type: "string", default: "" },
    made: { type: "string" },
    steps: { type: "string", default: "150" },
    threads: { type: "string", default: "1" },
  },
});
const keptIn = "docs/transfer.json";
const context = {
  signal: new AbortController().signal,
  progress() {},
  note: (text: string) => console.error(text),
};
const machine = { cacheFolder: userCache(), maxBad: 0, threads: Number(options.threads) };

interface Kept {
  /** Names of encoders, the more alike pairs first. */
  readonly pairs: { readonly encoders: readonly [string, string]; readonly alignment: number }[];
  readonly images: number;
  readonly neighbors: number;
  /** A set that was made for some encoders, and what each reads in it: closed form, top-1 as a fraction. */
  readonly sets: {
    readonly made: readonly string[];
    readonly steps: number;
    readonly seed: number;
    read: Record<string, number>;
  }[];
  /** Random real images, one per class, and the full data, by encoder. */
  random: Record<string, number>;
  full: Record<string, number>;
}

const nameOf = (text: string): string => {
  const { encoder, size } = parseEncoderSpec(text);
  return encoderLabel(encoder, [size!, size!]);
};
const encoders = options.encoders.split(",").filter((text) => text !== "");
const steps = Number(options.steps);
const empty: Kept = { pairs: [], images: 0, neighbors: 0, sets: [], random: {}, full: {} };
let kept = existsSync(keptIn) ? (JSON.parse(readFileSync(keptIn, "utf8")) as Kept) : empty;
const keep = () => writeFileSync(keptIn, `${JSON.stringify(kept, null, 1)}\n`);

if (encoders.length > 0) {
  const aligned = await alignEncoders(
    // Emojis are drawn whole at any size.
    { ...machine, data: "emoji", encoders, size: 128, resize: 128 },
    context,
  );
  const pairs = aligned.pairs.map(({ encoders: [a, b], alignment }) => ({
    encoders: [nameOf(a), nameOf(b)] as const,
    alignment,
  }));
  kept = { ...kept, pairs, images: aligned.images, neighbors: aligned.neighbors };
  keep();
  const made = options.made?.split(",").map((sum) => sum.split("+")) ?? encoders.map((text) => [text]);
  for (const texts of made) await makeAndRead(texts);
}
writeFileSync("docs/transfer.md", page());
process.exit(0);

async function makeAndRead(texts: readonly string[]): Promise<void> {
  const names = texts.map(nameOf);
  if (kept.sets.some((set) => set.made.join() === names.join() && set.steps === steps)) return;
  const folder = mkdtempSync(join(tmpdir(), "clp-dd-transfer-"));
  const out = join(folder, "set");
  const [first, ...others] = texts;
  const { encoder, size, feature } = parseEncoderSpec(first);
  try {
    const run = { ...machine, data: "emoji", out, encoder, size, feature, resize: size, others };
    await runDistillation({ ...run, config: { steps }, baselines: false, edits: false }, context);
    const read: Record<string, number> = {};
    for (const reader of encoders) {
      const name = nameOf(reader);
      const [result] = await runEvaluation(
        {
          ...machine,
          artifacts: [out],
          data: "emoji",
          encoders: [reader],
          resize: parseEncoderSpec(reader).size,
          probes: ["closed-form"],
          augmentation: "off",
          edits: false,
          references: kept.full[name] === undefined,
          seeds: [0, 1, 2, 3, 4],
        },
        context,
      );
      read[name] = result.probes[0].top1.mean;
      if (result.random[0]) kept.random[name] = result.random[0].top1.mean;
      if (result.full[0]) kept.full[name] = result.full[0].top1.mean;
    }
    kept.sets.push({ made: names, steps, seed: 0, read });
    keep();
    console.error(names.join(" + "), read);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function page(): string {
  const names = [...new Set(kept.pairs.flatMap((pair) => pair.encoders))].sort();
  const percent = (x: number | undefined) => (x === undefined ? "–" : (100 * x).toFixed(1));
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const table = (head: readonly string[], body: readonly (readonly string[])[]) =>
    [line(head), `|${head.map(() => "---|").join("")}`, ...body.map(line)].join("\n");
  const alignmentOf = (a: string, b: string) =>
    kept.pairs.find((pair) => pair.encoders.includes(a) && pair.encoders.includes(b))?.alignment;
  const points = kept.sets.flatMap(({ made, read }) =>
    made.length > 1
      ? []
      : names.flatMap((reader) => {
          const alignment = alignmentOf(made[0], reader);
          if (reader === made[0] || alignment === undefined || read[reader] === undefined) return [];
          const gained = (read[reader] - kept.random[reader]) / (kept.full[reader] - kept.random[reader]);
          return [{ made: made[0], reader, alignment, top1: read[reader], gained }];
        }),
  );
  const correlations =
    points.length > 2
      ? `Over these ${points.length} ordered pairs, the correlation of alignment with what is read above random images, as a share of what
the full data give above them, is ${pearson(points.map((p) => [p.alignment, p.gained])).toFixed(2)} (Pearson) and ${pearson(ranked(points.map((p) => [p.alignment, p.gained]))).toFixed(2)} (Spearman); with top-1 itself ${pearson(
          points.map((p) => [p.alignment, p.top1]),
        ).toFixed(2)} and ${pearson(ranked(points.map((p) => [p.alignment, p.top1]))).toFixed(2)}.`
      : "";
  return `# What predicts transfer

Written by \`bench/pages/transfer.ts\`: embedded emoji set (8 Unicode groups), one image per class, the default recipe at
${steps} steps, seed 0; top-1 in percent on the real test images by the closed form, solved anew under the encoder that reads.
One seed and few steps: differences of some four points are none.

## Sets made for one encoder and for several
${table(
  ["made for", ...names.map((name) => `read by ${name}`), "steps"],
  [
    ...kept.sets.map(({ made, read, steps: taken }) => [
      made.join(" + "),
      ...names.map((name) => `${percent(read[name])}${made.includes(name) ? " (own)" : ""}`),
      String(taken),
    ]),
    ["random images", ...names.map((name) => percent(kept.random[name])), ""],
    ["full data", ...names.map((name) => percent(kept.full[name])), ""],
  ],
)}

## Alignment and transfer
Mutual nearest-neighbor alignment (\`clp-dd encoders align\`; Huh et al. 2024): the mean share of an image's ${kept.neighbors} nearest
neighbors, by the cosine of features, that two encoders agree on, over ${kept.images} training images.

${table(
  ["made for", "read by", "alignment", "top-1", "share of the way from random images to full data"],
  points
    .sort((a, b) => b.alignment - a.alignment)
    .map((p) => [p.made, p.reader, percent(p.alignment), percent(p.top1), `${percent(p.gained)} %`]),
)}

${correlations}
`;
}

function pearson(pairs: readonly (readonly [number, number])[]): number {
  const mean = (k: 0 | 1) => pairs.reduce((sum, pair) => sum + pair[k], 0) / pairs.length;
  const [a, b] = [mean(0), mean(1)];
  const sum = (f: (x: number, y: number) => number) => pairs.reduce((s, [x, y]) => s + f(x - a, y - b), 0);
  return sum((x, y) => x * y) / Math.sqrt(sum((x) => x * x) * sum((_, y) => y * y));
}

/** Ranks in place of values; equal values share the mean rank. */
function ranked(pairs: readonly (readonly [number, number])[]): [number, number][] {
  const rank = (k: 0 | 1, value: number) =>
    pairs.filter((pair) => pair[k] < value).length +
    (pairs.filter((pair) => pair[k] === value).length - 1) / 2;
  return pairs.map(([x, y]) => [rank(0, x), rank(1, y)]);
}
