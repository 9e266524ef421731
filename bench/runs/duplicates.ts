/**
 * How well near-duplicates are found: icons with copies that were encoded again, made smaller, mirrored, cropped or changed in color,
 * searched by `clp-dd check` and by imagededup. Writes its part of docs/check-results.md. imagededup is one of bench/peers; without it only
 * the own search is measured.
 *
 *   node .bench/bench/runs/duplicates.js [--originals 1000] [--copies 100] [--threads 2]
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import sharp, { type Sharp } from "sharp";
import { openEmoji } from "../../src/data/emoji.ts";
import { loadEncoder } from "../../src/index.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import type { FeatureMap } from "../../src/probe/feature-map.ts";
import { fitFeatureMaps } from "../../src/probe/fit-feature-maps.ts";
import { chooseGemm, jsGemm } from "../../src/probe/gemm.ts";
import { similarPairs } from "../../src/probe/near-duplicates.ts";
import { ortGemm } from "../../src/probe/ort-gemm.ts";
import { featuresInMemory, sampledRows } from "../../src/probe/rows.ts";
import { measuredBy, writeMeasuredPart } from "../lib/measured-part.ts";
import { peerPython, runPeer } from "../lib/peer.ts";

const { values: options } = parseArgs({
  options: {
    originals: { type: "string", default: "1000" },
    copies: { type: "string", default: "100" },
    threads: { type: "string", default: "2" },
  },
});
const originals = Number(options.originals);
const copies = Number(options.copies);
const threads = Number(options.threads);
const side = 128;
/** The default of `clp-dd check`, and lower values of its `--similarity`. */
const similarities = [0.95, 0.9, 0.85, 0.8];

/** What is done to a copy; each to other originals. */
const kinds: Readonly<Record<string, (image: Sharp) => Sharp>> = {
  "JPEG of quality 60": (image) => image.jpeg({ quality: 60 }),
  "half the size": (image) => image.resize(side / 2).png(),
  mirrored: (image) => image.flop().png(),
  "cropped by 5 % a side": (image) => cropped(image, 0.05),
  "cropped by 10 % a side": (image) => cropped(image, 0.1),
  "15 % brighter": (image) => image.modulate({ brightness: 1.15 }).png(),
};

function cropped(image: Sharp, share: number): Sharp {
  const margin = Math.round(share * side);
  const edge = side - 2 * margin;
  return image.extract({ left: margin, top: margin, width: edge, height: edge }).png();
}

const folder = await mkdtemp(join(tmpdir(), "clp-dd-duplicates-"));
const pictures = join(folder, "pictures");
await mkdir(pictures);
const names: string[] = [];
/** The pairs that are to be found, by the kind of the copy. */
const planted = new Map<string, string>();
const keyOf = (a: number, b: number): string => (a < b ? `${a} ${b}` : `${b} ${a}`);
const images = (await openEmoji()).images("train");
for (const [k, row] of sampledRows(images.length, originals, "originals").entries()) {
  const flat = await sharp(await images.at(row).open())
    .flatten({ background: "white" })
    .png()
    .toBuffer();
  names.push(`${k}.png`);
  await writeFile(join(pictures, names[k]!), flat);
}
for (const [number, [kind, change]] of Object.entries(kinds).entries()) {
  for (let c = 0; c < copies; c++) {
    const original = (number * copies + c) % originals;
    const copy = await change(sharp(join(pictures, names[original]!))).toBuffer();
    planted.set(keyOf(original, names.length), kind);
    names.push(`${names.length}.${kind.startsWith("JPEG") ? "jpg" : "png"}`);
    await writeFile(join(pictures, names.at(-1)!), copy);
  }
}

const encoder = await loadEncoder("efficientnet-lite0", { size: side, resize: side, threads });
const encoded = await encoder.encode(names.map((name) => join(pictures, name)));
await encoder.release();
const features = new Float32Array(encoded.data);
const rows = featuresInMemory(features, new Int32Array(names.length));
const runtime = nodeRuntime({ threads });
const ort = ortGemm(runtime);
type Found = { readonly pairs: readonly (readonly [number, number])[]; readonly seconds: number };

const found: [number, Found][] = [];
for (const similarity of similarities) {
  const began = performance.now();
  const [map] = (await fitFeatureMaps(["standardize-l2"], rows)) as [FeatureMap];
  const pairs = await similarPairs([rows], map, similarity, chooseGemm(jsGemm, ort));
  const seconds = (performance.now() - began) / 1000;
  found.push([similarity, { pairs: pairs.map(({ first, second }) => [first, second] as const), seconds }]);
}
await ort.release();

function line(name: string, found: Found): string {
  const hits = new Map<string, number>();
  for (const [a, b] of found.pairs) {
    const kind = planted.get(keyOf(a, b));
    if (kind !== undefined) hits.set(kind, (hits.get(kind) ?? 0) + 1);
  }
  const right = [...hits.values()].reduce((sum, n) => sum + n, 0);
  const percent = (share: number) => (100 * share).toFixed(0);
  const precision = found.pairs.length === 0 ? "–" : percent(right / found.pairs.length);
  const cells = [
    percent(right / planted.size),
    precision,
    ...Object.keys(kinds).map((kind) => percent((hits.get(kind) ?? 0) / copies)),
    `${found.seconds.toFixed(2)} s`,
  ];
  return `| ${name} | ${cells.join(" | ")} |`;
}

const lines = found.map(([similarity, own]) =>
  line(
    `check: cosine of standardized features ≥ ${similarity}${similarity === 0.95 ? " (default)" : ""}`,
    own,
  ),
);
let version = "";
if (peerPython() !== undefined) {
  await writeFile(join(folder, "names.json"), JSON.stringify(names));
  await writeFile(join(folder, "features.f32"), features);
  const answer = JSON.parse(
    runPeer("duplicates.py", [
      pictures,
      join(folder, "names.json"),
      join(folder, "features.f32"),
      String(encoded.cols),
    ])
      .trim()
      .split("\n")
      .at(-1)!,
  ) as { version: string; methods: Record<string, Found> };
  version = answer.version;
  for (const [name, theirs] of Object.entries(answer.methods)) {
    const label =
      name === "cnn" ? "imagededup, cosine of the same raw features ≥ 0.9" : `imagededup, ${name}`;
    lines.push(line(label, theirs));
  }
}
await rm(folder, { recursive: true, force: true });
writeMeasuredPart(
  "docs/check-results.md",
  "bench/runs/duplicates.ts",
  `
${originals} icons of four artists at ${side} px and ${copies} copies of each kind, in percent: recall of all planted pairs, precision of all pairs
found, recall by kind. Icons that are alike by themselves (clock faces, families) count as wrong for every method. Time of the own search and of the
last line is without encoding images; hashes read the files.${version ? ` imagededup ${version} with the thresholds that are its defaults.` : ""}

| search | recall | precision | ${Object.keys(kinds).join(" | ")} | time |
|---|--:|--:|${Object.keys(kinds)
    .map(() => "--:|")
    .join("")}--:|
${lines.join("\n")}

${measuredBy("bench/runs/duplicates.ts")}
`,
);
process.exit(0);
