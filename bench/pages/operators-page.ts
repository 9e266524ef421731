import { lowerings } from "../../src/onnx-vjp/prepare/lower/index.ts";
import { legacyLowerings } from "../../src/onnx-vjp/prepare/lower/legacy.ts";
import { quantizedLowerings } from "../../src/onnx-vjp/prepare/lower/quantized.ts";
import { writtenOut } from "../../src/onnx-vjp/prepare/prepare.ts";
import { flat } from "../../src/onnx-vjp/vjp/elementwise.ts";
import { rules } from "../../src/onnx-vjp/vjp/rules.ts";

/** An operator as tools/list_onnx_operators.py lists it. */
export interface ListedOperator {
  readonly name: string;
  /** Operator set of its newest form. */
  readonly since: number;
  readonly deprecated: boolean;
  /** Where it takes or gives float tensors. */
  readonly float: "in" | "out" | "both" | "none";
}

export interface OperatorList {
  readonly opset: number;
  readonly operators: readonly ListedOperator[];
}

/** Whether an operator has a pullback, and what is to be known of it. */
export interface Coverage {
  readonly name: string;
  readonly since: number;
  readonly pullback: "yes" | "no" | "not differentiable";
  readonly note: string;
}

/** Operators that draw at random. */
const random: ReadonlySet<string> = new Set([
  ...["Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"],
]);

/** Operators whose result is made of shapes and settings. */
const dataless: ReadonlySet<string> = new Set(["EyeLike", "MelWeightMatrix", "Range", "ConstantOfShape"]);

/** What keeps an operator without a pullback from one. */
const missing: Readonly<Record<string, string>> = {
  TensorScatter: "a cache of keys and values, which encoders have none of",
  Unique: "the size of its result depends on the numbers",
};

/** Forms of covered operators that are not covered, or what covers them. */
const notes: Readonly<Record<string, string>> = {
  Attention: "without a cache and without handing out its scores",
  BatchNormalization: "in inference",
  Col2Im: "with known sizes",
  Compress: "with a known condition",
  Conv: "with constant weights",
  ConvTranspose: "with constant weights",
  Det: "of at most 4 rows",
  Dropout: "in inference",
  GRU: "written out; sequences of full length",
  If: "a known condition, else both branches where their results have one shape",
  LSTM: "written out; sequences of full length",
  Loop: "written out, with a count that does not depend on the image",
  MaxRoiPool: "with known regions",
  MaxUnpool: "with the size that its window gives",
  RNN: "written out; sequences of full length",
  ReverseSequence: "with known lengths",
  RoiAlign: "means, with a given number of samples",
  Scan: "written out",
  ScatterElements: "replacing or adding",
  ScatterND: "replacing or adding",
  TopK: "of the values",
};

/** Whether an operator of the standard domain has a pullback, as the tables of rules and lowerings say. */
export function coverageOf({ name, since, float, deprecated }: ListedOperator): Coverage {
  const made = (pullback: Coverage["pullback"], note: string): Coverage => ({
    name,
    since,
    pullback,
    note: [...(deprecated ? ["deprecated"] : []), ...(note === "" ? [] : [note])].join("; "),
  });
  const has = (table: object) => Object.hasOwn(table, name);
  if (has(quantizedLowerings)) return made("not differentiable", "rounds to integers, or reads such");
  if (random.has(name)) return made("not differentiable", "draws at random");
  if (dataless.has(name)) return made("not differentiable", "depends on shapes and settings alone");
  if (writtenOut.has(name)) return made("yes", notes[name] ?? "written out");
  if (float !== "both") return made("not differentiable", "does not lead from floats to floats");
  if (rules[name] === flat)
    return made("not differentiable", "constant between its jumps; its gradient is zero");
  if (has(rules) || has(lowerings) || has(legacyLowerings)) return made("yes", notes[name] ?? "");
  return made("no", missing[name] ?? "");
}

/** docs/operators.md. */
export function operatorsPage({ opset, operators }: OperatorList): string {
  const rows = operators.map(coverageOf);
  const count = (pullback: Coverage["pullback"]) => rows.filter((row) => row.pullback === pullback).length;
  const table = rows.map(
    ({ name, since, pullback, note }) => `| ${name} | ${since} | ${pullback} | ${note} |`,
  );
  return `# Operators

All ${rows.length} operators of ONNX 1.19 (operator set ${opset}), and whether they have a pullback: ${count("yes")} have,
${count("not differentiable")} are not differentiable, ${count("no")} have none. \`npm run operators\` writes this page from the tables of rules
and lowerings; \`tools/list_onnx_operators.py\` lists the operators. Beside these, operators of ONNX Runtime that its
optimizer leaves in files (Gelu, FusedConv, SkipLayerNormalization, MultiHeadAttention, …) are lowered to them.

| Operator | Newest form | Pullback | Note |
|---|---|---|---|
${table.join("\n")}
`;
}
