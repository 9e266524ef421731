import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { createEncoder } from "../../src/encoder/encoder.ts";
import { loadEncoderModel } from "../../src/encoder/load/load.ts";
import { inspectModel } from "../../src/jobs/inspect.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";

const folder = fileURLToPath(new URL("../fixtures/encoders", import.meta.url));

it.each(readdirSync(folder))(
  "inspecting the folder %s shows its feature, differentiable to the pixels",
  async (name) => {
    const inspection = await inspectModel({ encoder: join(folder, name) });
    const chosen = inspection.candidates.filter((c) => c.chosen);
    expect(chosen).toMatchObject([{ name: "features", missing: [] }]);
    expect(inspection.ops.filter((op) => !op.rule)).toEqual([]);
  },
);

it("rows of all images together are no candidates, and are refused as a feature", async () => {
  const model = join(folder, "dinov2");
  const { candidates } = await inspectModel({ encoder: model });
  expect(candidates.length).toBeGreaterThan(0);
  for (const { dims } of candidates) expect(dims[0]).toBe(1);

  const loaded = await loadEncoderModel(model);
  // The tokens of all images after the first block's normalization, [batch·tokens, d].
  const feature = loaded.graph.nodes.find((node) => node.op === "LayerNormalization")!.outputs[0];
  const asked = createEncoder(nodeRuntime({ threads: 1 }), { ...loaded, feature });
  await expect(asked).rejects.toThrow(/first dimension does not count/);
});
