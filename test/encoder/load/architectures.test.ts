import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { readTransformerConfig } from "../../../src/encoder/vit/vit-config.ts";
import { parametersOf } from "../../../src/encoder/vit/weights.ts";

interface Architecture {
  readonly parameters: number;
  readonly epsilon: number;
  readonly heads: number;
}
interface TimmArchitecture extends Architecture {
  readonly width: number;
  readonly activation: string;
  readonly pool: string;
  readonly image: readonly number[];
  readonly pooledNorm: boolean;
}

// Made by tools/make_architecture_fixture.py from the libraries' own models.
const file = fileURLToPath(new URL("../../fixtures/architectures.json", import.meta.url));
const known = JSON.parse(readFileSync(file, "utf8")) as {
  timm: Record<string, TimmArchitecture>;
  transformers: Record<string, Architecture>;
};

const count = (config: ReturnType<typeof readTransformerConfig>): number =>
  parametersOf(config.description).reduce(
    (sum, { shape }) => sum + shape.reduce((product, d) => product * d, 1),
    0,
  );
const pooling: Readonly<Record<string, string>> = { token: "cls", avg: "mean", map: "attention" };

describe("timm's architectures have the sizes and switches that timm gives them", () => {
  it.each(Object.entries(known.timm))("%s", (name, expected) => {
    const text = JSON.stringify({
      architecture: name,
      pretrained_cfg: { input_size: [3, ...expected.image] },
    });
    const has = (tensor: string) => expected.pooledNorm && tensor === "fc_norm.weight";
    const config = readTransformerConfig(text, "config.json", has);
    const { width, heads, epsilon, activation, pooling: pool } = config.description;
    const wanted = name.includes("distilled") ? "prefix" : pooling[expected.pool];
    expect({ width, heads, epsilon, activation, pool }).toEqual({
      width: expected.width,
      heads: expected.heads,
      epsilon: expected.epsilon,
      activation: expected.activation,
      pool: wanted,
    });
    expect(count(config)).toBe(expected.parameters);
  });
});

describe("configurations of transformers that leave all out have the sizes of their classes", () => {
  it.each(Object.entries(known.transformers))("%s", (modelType, expected) => {
    const text = JSON.stringify({ model_type: modelType });
    const config = readTransformerConfig(text, "config.json", () => false);
    expect(config.description.heads).toBe(expected.heads);
    expect(config.description.epsilon).toBe(expected.epsilon);
    const { pooler, width } = config.description;
    // The pooler is a part of these two classes that MAE's and DINO's do not have.
    expect(pooler).toBe(["vit", "deit"].includes(modelType) ? width : undefined);
    expect(count(config)).toBe(expected.parameters);
  });
});
