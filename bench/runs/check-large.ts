/**
 * Time and memory of a check of made features of a large data set. Writes its part of docs/check-results.md.
 *
 *   node .bench/bench/runs/check-large.js [--made 50000x768x100] [--threads 2]
 */
import { parseArgs } from "node:util";
import { checkLabels } from "../../src/evaluate/check-labels.ts";
import { duplicateSettings } from "../../src/evaluate/find-duplicates.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import type { FeatureMap } from "../../src/probe/feature-map.ts";
import { fitFeatureMaps } from "../../src/probe/fit-feature-maps.ts";
import { chooseGemm, jsGemm } from "../../src/probe/gemm.ts";
import { similarPairs } from "../../src/probe/near-duplicates.ts";
import { ortGemm } from "../../src/probe/ort-gemm.ts";
import { type FeatureRows, featuresInMemory } from "../../src/probe/rows.ts";
import { seededRandom } from "../../src/random.ts";
import { measuredBy, writeMeasuredPart } from "../lib/measured-part.ts";

const { values: options } = parseArgs({
  options: {
    made: { type: "string", default: "50000x768x100" },
    threads: { type: "string", default: "2" },
  },
});

/** Of so many rows one is a slightly changed copy of the row before. */
const copyEvery = 100;

/** Features around a center for each class, and some near-duplicates, held in memory as a cache on a disk is not. */
function made(count: number, d: number, classes: number): FeatureRows {
  const random = seededRandom(0, "made features");
  const centers = Float32Array.from({ length: classes * d }, () => random.normal());
  const labels = Int32Array.from({ length: count }, () => random.below(classes));
  const features = new Float32Array(count * d);
  for (let row = 0; row < count; row++) {
    const isCopy = row % copyEvery === copyEvery - 1;
    if (isCopy) labels[row] = labels[row - 1]!;
    for (let j = 0; j < d; j++) {
      const at = row * d + j;
      features[at] = isCopy
        ? features[at - d]! + 0.2 * random.normal()
        : 0.5 * centers[labels[row]! * d + j]! + random.normal();
    }
  }
  return featuresInMemory(features, labels);
}

const [count, d, classes] = options.made.split("x").map(Number) as [number, number, number];
const ort = ortGemm(nodeRuntime({ threads: Number(options.threads) }));
const gemm = chooseGemm(jsGemm, ort);
const train = made(count, d, classes);
const began = performance.now();
const cpuBefore = process.cpuUsage();
const parts: [string, number][] = [];
let last = began;
const done = (part: string) => {
  parts.push([part, (performance.now() - last) / 1000]);
  last = performance.now();
};
const [map] = (await fitFeatureMaps(["standardize-l2"], train)) as [FeatureMap];
done("mean and standard deviation");
let part: string | undefined;
const { accuracy } = await checkLabels(train, classes, map, gemm, (next) => {
  if (part !== undefined) done(part);
  part = next;
});
done(part!);
const { similarity, candidate } = duplicateSettings;
const { pairs } = await similarPairs([train], map, candidate, gemm);
done(`near-duplicates, with candidates at a cosine of ${candidate}`);
const seconds = (performance.now() - began) / 1000;
const { user, system } = process.cpuUsage(cpuBefore);
const peak = process.resourceUsage().maxRSS / 2 ** 20;
last = performance.now();
await similarPairs([train], map, similarity, gemm);
const withoutCandidates = (performance.now() - last) / 1000;
await ort.release();
const planted = Math.floor(count / copyEvery);
const similar = pairs.filter((pair) => pair.similarity >= similarity);
const found = similar.filter(
  ({ first, second }) => second % copyEvery === copyEvery - 1 && first === second - 1,
).length;
const text = `
${count.toLocaleString("en-US")} × ${d} made features of ${classes} classes, held in memory (${((4 * count * d) / 2 ** 20).toFixed(0)} MiB): **${seconds.toFixed(1)} s** and ${peak.toFixed(2)} GiB at
most, features included; ${((user + system) / 1e6).toFixed(1)} s of CPU time. Leave-one-out accuracy ${(100 * accuracy).toFixed(1)} %; of ${planted} planted near-duplicates ${found} are found, beside ${similar.length - found} other pairs.

| part | time |
|---|--:|
${parts.map(([name, time]) => `| ${name} | ${time.toFixed(2)} s |`).join("\n")}

Made features have no pictures to compare; ${pairs.length} pairs are candidates. Near-duplicates by features alone, at a cosine of ${similarity}, take ${withoutCandidates.toFixed(2)} s.

${measuredBy("bench/runs/check-large.ts")}
`;
process.stdout.write(text);
writeMeasuredPart("docs/check-results.md", "bench/runs/check-large.ts", text);
process.exit(0);
