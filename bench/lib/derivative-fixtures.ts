import { readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Pool } from "../../src/encoder/encoder-model.ts";
import { featureOutput, pixelsInput } from "../../src/encoder/vit/build.ts";
import { loadTransformerFolder } from "../../src/encoder/vit/load-vit.ts";
import type { Graph } from "../../src/onnx-vjp/graph/ir.ts";
import { readOnnx } from "../../src/onnx-vjp/graph/read-onnx.ts";

/** A committed model with features and pixel gradients by the library that made it. */
export interface DerivativeFixture {
  readonly name: string;
  /** Of the model; families of networks read from ONNX begin with `onnx:`. */
  readonly family: string;
  readonly graph: Graph;
  readonly input: string;
  readonly feature: string;
  /** Path of the file with the tensors `input`, `features`, `cotangent` and `pixel_gradient`. */
  readonly tensors: string;
}

/** A fixture that can be read. */
export interface NamedFixture {
  readonly name: string;
  read(): Promise<DerivativeFixture>;
}

/** All of them: Vision Transformers built from safetensors, then networks read from ONNX. @param folder test/fixtures */
export function derivativeFixtures(folder: string): NamedFixture[] {
  const named = (kind: string, read: (name: string, own: string) => Promise<DerivativeFixture>) =>
    readdirSync(join(folder, kind)).map((name) => ({
      name,
      read: () => read(name, join(folder, kind, name)),
    }));
  return [...named("encoders", transformer), ...named("models", network)];
}

const json = async <T>(path: string): Promise<T> => JSON.parse(await readFile(path, "utf8")) as T;

async function transformer(name: string, folder: string): Promise<DerivativeFixture> {
  const meta = await json<{ readonly pool: Pool; readonly crop: [number, number] }>(
    join(folder, "meta.json"),
  );
  const { graph } = await loadTransformerFolder(folder, {
    pool: meta.pool,
    preprocessing: { crop: meta.crop },
  });
  return {
    name,
    // timm-eva02-base, dinov2-resized: the family is the first word that names one.
    family: name.replace(/^timm-/, "").split("-")[0],
    graph,
    input: pixelsInput,
    feature: featureOutput,
    tensors: join(folder, "fixture.safetensors"),
  };
}

async function network(name: string, folder: string): Promise<DerivativeFixture> {
  const { family, input, feature } = await json<{
    readonly family: string;
    readonly input: string;
    readonly feature: string;
  }>(join(folder, "meta.json"));
  const graph = await readOnnx(await readFile(join(folder, "model.onnx")), name);
  const tensors = join(folder, "tensors.safetensors");
  return { name, family: `onnx:${family}`, graph, input, feature, tensors };
}
