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

/** A popular model with random weights, exported by both exporters, against its float64 reference. */
export interface Architecture {
  readonly name: string;
  readonly library: string;
  readonly parameters?: number;
  /** [n, 3, h, w] of its input. */
  readonly shape?: readonly number[];
  /** How far PyTorch's own float32 is from the reference. */
  readonly float32?: { readonly features: number; readonly gradient: number };
  readonly versions: Readonly<Record<string, string>>;
  readonly exports: Readonly<
    Record<
      string,
      | { readonly features: number; readonly gradient: number; readonly inspected: boolean }
      | { readonly failure: string; readonly of: "exporter" | "clp-dd" }
    >
  >;
}

/** What docs/encoders.json holds. */
export interface Kept {
  readonly machine: string;
  readonly fixtures: Readonly<Record<string, { readonly features: number; readonly gradient: number }>>;
  readonly models: readonly KeptModel[];
  readonly architectures?: readonly Architecture[];
}

const small = (error: number): string => error.toExponential(1);
const ms = (value: number): string => value.toFixed(value < 9.95 ? 1 : 0);
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");

/** docs/encoders.md. */
export function encodersPage({ machine, fixtures, models, architectures = [] }: Kept): string {
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

${architectures.length === 0 ? "" : architecturesSection(architectures)}`;
}

function architecturesSection(architectures: readonly Architecture[]): string {
  const exported = architectures.flatMap(({ exports }) => Object.values(exports));
  const passed = exported.filter((e) => !("failure" in e));
  const refused = exported.filter((e) => "failure" in e && e.of === "clp-dd");
  const notExported = exported.filter((e) => "failure" in e && e.of === "exporter");
  const agreeing = passed.filter((e) => !("failure" in e) && e.inspected);
  const cell = (found: Architecture["exports"][string] | undefined): string => {
    if (found === undefined) return "not run";
    if (!("failure" in found)) return `${small(found.features)}, ${small(found.gradient)}`;
    return found.of === "exporter" ? "not exported" : escaped(found.failure);
  };
  return `## Architectures
Small variants of ${architectures.length} architectures that are popular on the Hugging Face hub, in timm and transformers, with random
weights, by both of PyTorch's exporters (\`tools/export_architectures.py\`, \`npm run architectures\`; TorchScript with opset 17,
dynamo with opset 18). Each cell has features Δ and gradient Δ for two images, against PyTorch in float64; PyTorch's own float32
stands beside it (largest difference over largest value). Where both gradients are far from the reference, an activation is next to its kink.
Of ${exported.length} exports ${passed.length} ran, ${refused.length} failed here and ${notExported.length} failed in the exporter. \`clp-dd inspect\` calls ${agreeing.length} of the ${passed.length} that ran differentiable. What is marked "not run" was not measured.

${table(
  ["model", "library", "parameters", "input", "TorchScript", "dynamo", "PyTorch float32"],
  architectures.map(({ name, library, parameters, shape, float32, exports }) => [
    name.replace(/^hf-/, ""),
    library,
    parameters === undefined ? "" : `${(parameters / 1e6).toFixed(1)} M`,
    shape === undefined ? "" : `${shape.at(-1)} px`,
    cell(exports.torchscript),
    cell(exports.dynamo),
    float32 === undefined ? "" : `${small(float32.features)}, ${small(float32.gradient)}`,
  ]),
)}
`;
}

/** A message as a cell of a table. */
const escaped = (text: string): string => text.replaceAll("|", "\\|").replaceAll("\n", " ").slice(0, 160);
