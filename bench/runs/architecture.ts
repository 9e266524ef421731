/**
 * Features and pixel gradient of one model that tools/export_architectures.py exported, against its float64 reference.
 *
 *   node .bench/bench/runs/architecture.js FOLDER EXPORTER
 *
 * Prints one line of JSON: `features` and `gradient`, ‖ours − reference‖ / ‖reference‖; and `inspected`, whether
 * `clp-dd inspect` calls the model differentiable.
 */
import { join } from "node:path";
import { inspectModel } from "../../src/jobs/inspect.ts";
import { readModelFile } from "../../src/onnx-vjp/graph/model-file.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { derivativeErrors } from "../lib/derivative-errors.ts";

const [folder, exporter] = process.argv.slice(2);
const { graph } = await readModelFile(join(folder, `${exporter}.onnx`));
const runtime = nodeRuntime({ threads: 1 });
const tensors = join(folder, "tensors.safetensors");
const inspection = await inspectModel({ encoder: join(folder, `${exporter}.onnx`) });
const inspected = inspection.candidates.find(({ chosen }) => chosen)?.missing.length === 0;
const errors = await derivativeErrors(runtime, graph, "input", "features", tensors, {
  activations: "save",
  precision: "float32",
});
console.log(JSON.stringify({ ...errors, inspected }));
