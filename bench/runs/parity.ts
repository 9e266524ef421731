/**
 * Features and pixel gradients of every committed fixture against the library that made it: the Vision Transformer
 * families built from safetensors (test/fixtures/encoders), the networks read from ONNX (test/fixtures/models), and
 * models as people really have them, opened as a user opens them (test/fixtures/cases).
 *
 *   npm run parity [-- --json] [--device webgpu|cuda] [--precision float16] [--only NAME]
 *
 * Errors are ‖ours − reference‖ / ‖reference‖, the largest of a family's fixtures. `--json` ends with one line:
 * {families: {NAME: {features, gradient}}}; names of networks read from ONNX begin with `onnx:`,
 * those of cases with `case:`. Exit code 1 where
 * a feature is off by 1e-5 or a gradient by 1e-4. On CUDA products are rounded unless NVIDIA_TF32_OVERRIDE=0 is set. In half
 * precision the errors are reported and not judged: masks of rectifiers turn over where their inputs are nearly zero.
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { formatTable } from "../../src/cli/table.ts";
import { messageOf, UsageError } from "../../src/errors.ts";
import type { Device } from "../../src/onnx-vjp/graph/runtime.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { type DerivativeErrors, derivativeErrors } from "../lib/derivative-errors.ts";
import { derivativeFixtures } from "../lib/derivative-fixtures.ts";
import { caseFolder, modelCaseErrors, modelCases } from "../lib/model-cases.ts";

const { values: options } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    threads: { type: "string", default: "1" },
    device: { type: "string", default: "cpu" },
    only: { type: "string", default: "" },
    precision: { type: "string", default: "float32" },
  },
});
const runtime = nodeRuntime({ threads: Number(options.threads), device: deviceNamed(options.device) });
const activations = runtime.handsOver ? "save" : "recompute";
const precision = options.precision === "float16" ? "float16" : "float32";
const settings = { activations, precision } as const;
const fixtures = fileURLToPath(new URL("../../../test/fixtures/", import.meta.url));

/** The device of that name. Throws UsageError for any other. */
function deviceNamed(name: string): Device {
  if (name === "cpu" || name === "webgpu" || name === "cuda") return name;
  throw new UsageError(`--device is cpu, webgpu or cuda, got "${name}".`);
}

/** Whether a fixture is to be checked: `--only` is a part of its name. */
const wanted = (name: string): boolean => name.includes(options.only);

const families = new Map<string, DerivativeErrors>();
/** Fixtures that could not be run, with what was said. */
const failures: string[] = [];
async function attempt(name: string, check: () => Promise<void>): Promise<void> {
  try {
    await check();
  } catch (error) {
    failures.push(`${name} did not run: ${messageOf(error)}`);
  }
}

/** Keeps the larger errors of a family. */
function note(family: string, errors: DerivativeErrors): void {
  const before = families.get(family) ?? { features: 0, gradient: 0 };
  families.set(family, {
    features: Math.max(before.features, errors.features),
    gradient: Math.max(before.gradient, errors.gradient),
  });
}

for (const { name, read } of derivativeFixtures(fixtures).filter((fixture) => wanted(fixture.name))) {
  await attempt(name, async () => {
    const { family, graph, input, feature, tensors } = await read();
    note(family, await derivativeErrors(runtime, graph, input, feature, tensors, settings));
  });
}
for (const one of modelCases(caseFolder).filter(
  ({ name, refused }) => refused === undefined && wanted(name),
)) {
  await attempt(one.name, async () => note(`case:${one.name}`, await modelCaseErrors(runtime, one)));
}

const rows = [...families].map(([name, { features, gradient }]) => [
  name,
  features.toExponential(1),
  gradient.toExponential(1),
]);
console.log(formatTable(["family", "features", "gradient"], rows));
const judged = precision === "float32" ? [...families] : [];
const broken = judged.filter(([, e]) => !(e.features < 1e-5 && e.gradient < 1e-4));
for (const [name] of broken) console.error(`${name} is further from its reference than it may be.`);
for (const failure of failures) console.error(failure);
if (options.json) console.log(JSON.stringify({ families: Object.fromEntries(families) }));
if (broken.length + failures.length > 0) process.exitCode = 1;
