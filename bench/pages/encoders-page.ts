import { knownEncoders } from "../../src/encoder/registry.ts";
import type { FullSize } from "../runs/full-size.ts";

/** One measured model, or why it was not. */
export interface KeptModel {
  readonly model: string;
  readonly result?: FullSize;
  readonly failure?: string;
  /** Load average of the machine before. */
  readonly load: number;
}

/** What docs/encoders.json holds. */
export interface Kept {
  readonly machine: string;
  readonly fixtures: Readonly<Record<string, { readonly features: number; readonly gradient: number }>>;
  readonly models: readonly KeptModel[];
}

const small = (error: number): string => error.toExponential(1);
const ms = (value: number): string => value.toFixed(value < 9.95 ? 1 : 0);
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");

/** docs/encoders.md. */
export function encodersPage({ machine, fixtures, models }: Kept): string {
  const isExport = ({ model }: KeptModel) => model.includes("@");
  const errors = ({ errors, peerErrors }: FullSize) => [
    ...[small(errors.features), small(peerErrors.features)],
    ...[small(errors.gradient), small(peerErrors.gradient)],
  ];
  const times = ({ ms: ours, peerMs }: FullSize) => [
    ...[ms(ours.features), ms(peerMs.features), (peerMs.features / ours.features).toFixed(2)],
    ...[ms(ours.gradient), ms(peerMs.gradient), (peerMs.gradient / ours.gradient).toFixed(2)],
  ];
  const heads = [
    ...["features Δ", "PyTorch's", "gradient Δ", "PyTorch's"],
    ...["features ms", "PyTorch", "ratio", "step ms", "PyTorch", "ratio"],
  ];
  const row = (names: readonly string[], { result, failure, load }: KeptModel) => [
    ...names,
    ...(result
      ? [...errors(result), ...times(result), load.toFixed(1)]
      : [failure ?? "not run", ...Array.from({ length: heads.length }, () => "")]),
  ];
  const versions = models.find(({ result }) => result !== undefined)?.result?.versions ?? {};
  return `# Encoders

Written by \`npm run bench:encoders\` (\`bench/pages/encoders.ts\`) from docs/encoders.json, which it fills; no number is typed.
Measured on ${machine}; ${Object.entries(versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(", ")}.

Δ is ‖ours − reference‖ / ‖reference‖; the reference is PyTorch in float64. Beside it stands PyTorch's own float32 against the
same reference. Full-size networks have random weights, and a deep one with ReLU has thousands of units next to their
kink, which fall to one side in float32 and to the other in float64: there the gradient's Δ is of the size of PyTorch's own,
and the small fixtures, whose seeds stay clear of kinks, are what shows that the rules are right. Gradients are those of
the image in which the difference is least. Ratio: PyTorch's time over ours, in one run, in turn, medians, eager, 2
threads; above 1 this project is faster. Load: the machine's load average before the row; above 2 other programs were
using its cores, times are noisy, and ratios flatter this project: PyTorch's threads wait for each other at every operator.

## Names
${table(
  ["name", "family", "feature", "input", "license of the weights", "from"],
  knownEncoders.map((e) => [
    `\`${e.name}\``,
    e.family,
    `${e.featureSize}`,
    `${e.input} px`,
    e.license,
    e.hub === undefined ? "the package" : `[${e.hub}](https://huggingface.co/${e.hub})`,
  ]),
)}

Any other repository or folder of these families works by its id or path, and so does any \`.onnx\` file of the operators
that \`clp-dd inspect\` finds rules for; how, and where files are kept: [hub.md](hub.md).

## Small fixtures
Random weights, made by the reference implementations (\`tools/\`), committed, and checked by \`npm test\` and
\`npm run parity\`; the largest errors of each family. \`onnx:\` names were exported by PyTorch's two exporters.

${table(
  ["family", "features Δ", "gradient Δ"],
  Object.entries(fixtures).map(([name, e]) => [name, small(e.features), small(e.gradient)]),
)}

## Families at full size, from safetensors
One image of 224 px.

${table(
  ["model", ...heads, "load"],
  models.filter((m) => !isExport(m)).map((m) => row([m.model], m)),
)}

## Exports to ONNX
Networks of torchvision and timm without their classifiers, two images of 224 px (eight for ResNet and RegNet, whose ReLUs have
many kinks), by the TorchScript exporter (opset 17) and the dynamo exporter (opset 18).

${table(
  ["network", "exporter", ...heads, "load"],
  models.filter(isExport).map((m) => row(m.model.split("@"), m)),
)}
`;
}
