import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { inspectModel } from "../../src/encoder/inspect-node.ts";

const folder = fileURLToPath(new URL("../fixtures/encoders", import.meta.url));

it.each(readdirSync(folder))(
  "inspecting the folder %s shows its feature, differentiable to the pixels",
  async (name) => {
    const inspection = await inspectModel(join(folder, name));
    const chosen = inspection.candidates.filter((c) => c.chosen);
    expect(chosen).toMatchObject([{ name: "features", missing: [] }]);
    expect(inspection.ops.filter((op) => !op.rule)).toEqual([]);
  },
);
