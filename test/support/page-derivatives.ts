import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { derivativeOf } from "../../bench/lib/derivative.ts";
import type { DerivativeFixture, NamedFixture } from "../../bench/lib/derivative-fixtures.ts";
import { inChromium } from "../../bench/lib/in-chromium.ts";
import { relativeError } from "../../bench/lib/measure.ts";
import { bundleForPage, ortFolder } from "../../bench/lib/page-bundle.ts";
import type { PageDerivative, PageNumbers } from "../../bench/lib/page-derivative.ts";
import { openSafetensors } from "../../src/files/safetensors.ts";
import { temporaryFolder } from "../../src/files/temporary.ts";
import { writeOnnx } from "../../src/onnx-vjp/graph/write-onnx.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";

/** How a page's results differ from Node's, relative to their norm. */
export interface PageDifference {
  readonly name: string;
  readonly features: number;
  readonly gradient: number;
  /** Why there are no numbers: both are NaN then. */
  readonly failure?: string;
}

/** Features and pixel gradients of fixtures in Chromium, compared with those of Node. */
export async function comparePage(
  fixtures: readonly NamedFixture[],
  device: PageDerivative["device"],
  args: readonly string[] = [],
): Promise<PageDifference[]> {
  const folder = await temporaryFolder("parity");
  try {
    const [script, models] = [join(folder.path, "script"), join(folder.path, "models")];
    await mkdir(models, { recursive: true });
    await bundleForPage("bench/lib/page-derivative.ts", script);
    return await inChromium(
      { script, models, ort: ortFolder },
      async (page) => {
        await page.evaluate(`import("/script/page.js")`);
        const differences: PageDifference[] = [];
        for (const { name, read } of fixtures) {
          const found = read().then((fixture) => compare(page, fixture, models, device));
          differences.push(await found.catch((error) => failed(name, error)));
        }
        return differences;
      },
      args,
    );
  } finally {
    await folder.remove();
  }
}

async function compare(
  page: Page,
  { name, graph, input, feature, tensors }: DerivativeFixture,
  models: string,
  device: PageDerivative["device"],
): Promise<PageDifference> {
  await writeFile(join(models, "model.onnx"), writeOnnx(graph).model);
  await writeFile(join(models, "tensors.safetensors"), await readFile(tensors));
  const task: PageDerivative = {
    ...{ input, feature, device },
    model: "/models/model.onnx",
    tensors: "/models/tensors.safetensors",
  };
  const there = await page.evaluate<PageNumbers>(`computeDerivative(${JSON.stringify(task)})`);
  const file = await openSafetensors(tensors);
  const inputs = {
    dims: file.tensors.get("input")!.shape,
    images: await file.float32("input"),
    cotangent: await file.float32("cotangent"),
  };
  await file.close();
  const runtime = nodeRuntime({ threads: 1 });
  const here = await derivativeOf(runtime, graph, input, feature, inputs, { activations: "save" });
  return {
    name,
    features: relativeError(numbersOf(there.features), here.features),
    gradient: relativeError(numbersOf(there.gradient), here.gradient),
  };
}

/** A model that cannot be compared says so, and the others are. */
const failed = (name: string, error: unknown): PageDifference => ({
  name,
  features: Number.NaN,
  gradient: Number.NaN,
  failure: error instanceof Error ? error.message : String(error),
});

const numbersOf = (base64: string): Float32Array =>
  new Float32Array(Uint8Array.from(Buffer.from(base64, "base64")).buffer);
