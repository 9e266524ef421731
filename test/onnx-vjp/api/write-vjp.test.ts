import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import { ints } from "../../../src/onnx-vjp/graph/ir.ts";
import { writeOnnx } from "../../../src/onnx-vjp/graph/write-onnx.ts";
import { load, UsageError, type WrittenVjp } from "../../../src/onnx-vjp/index.ts";
import { randomArray, randomNumbers, relativeError } from "../../support/check-rule.ts";
import { clpdd } from "../../support/command.ts";

/** A small network of 16 channels (whose convolutions this engine's own sessions run in blocks), with two outputs. */
function network(): Uint8Array {
  const random = randomNumbers(5);
  const b = new GraphBuilder();
  const weights = (...dims: number[]) => b.floats(dims, randomArray(dims, random).data);
  const x = b.input("image", ["batch", 3, 8, 8]);
  const conv = b.op("Relu", [b.op("Conv", [x, weights(16, 3, 3, 3)], { pads: ints([1, 1, 1, 1]) })]);
  const next = b.op("Sigmoid", [b.op("Conv", [conv, weights(16, 16, 3, 3)])]);
  const pooled = b.op("Flatten", [b.op("GlobalAveragePool", [next])]);
  b.named("Gemm", [pooled, weights(16, 5), weights(5)], "logits");
  b.output("logits", { dims: ["batch", 5] });
  b.output(b.op("Softmax", ["logits"]), { dims: ["batch", 5] }, "probabilities");
  return writeOnnx(b.graph).model;
}

const random = randomNumbers(6);
const numbers = (...dims: number[]) => Float32Array.from(randomArray(dims, random).data);

describe("forward.onnx and pullback.onnx", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "vjp-files-"));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  /** The gradient by the two files in a runtime that knows nothing of this project: all that one gives goes to the other. */
  async function byFiles(out: string, image: Tensor, cotangents: Readonly<Record<string, Float32Array>>) {
    const written = JSON.parse(await readFile(join(out, "vjp.json"), "utf8")) as WrittenVjp;
    const forward = await InferenceSession.create(join(out, written.forward.file));
    const pullback = await InferenceSession.create(join(out, written.pullback.file));
    const results = await forward.run({ image });
    const given: Record<string, Tensor> = { image, ...results };
    for (const [output, name] of Object.entries(written.pullback.cotangents)) {
      const { dims } = results[output];
      given[name] = new Tensor("float32", cotangents[output], dims);
    }
    expect([...pullback.inputNames].sort()).toEqual(written.pullback.inputs.map(({ name }) => name).sort());
    expect([...forward.outputNames].sort()).toEqual(
      [...written.forward.outputs, ...written.forward.saved].map(({ name }) => name).sort(),
    );
    const feeds = Object.fromEntries(pullback.inputNames.map((name) => [name, given[name]]));
    const gradients = await pullback.run(feeds);
    await Promise.all([forward.release(), pullback.release()]);
    return { results, gradient: gradients[written.pullback.gradients.image!].data as Float32Array };
  }

  const image = new Tensor("float32", numbers(2, 3, 8, 8), [2, 3, 8, 8]);
  const cotangents = { logits: numbers(2, 5), probabilities: numbers(2, 5) };

  it.each([
    ["within the files", undefined],
    ["in a file that both share", 100],
  ])("give the outputs and the gradient in plain ONNX Runtime, weights %s", async (_, externalAbove) => {
    const out = join(folder, String(externalAbove));
    await using model = await load(network(), { threads: 1 });
    const written = await model.write(out, { shapes: { image: [2, 3, 8, 8] }, externalAbove });
    expect(written).toMatchObject({
      forward: { inputs: [{ name: "image", dtype: "float32", dims: [2, 3, 8, 8] }] },
      pullback: {
        cotangents: { logits: "cotangent/logits", probabilities: "cotangent/probabilities" },
        gradients: { image: "gradient/image" },
      },
    });
    expect(existsSync(join(out, "weights.bin"))).toBe(externalAbove !== undefined);
    const { outputs, vjp } = await model.vjp({ image });
    const expected = (await vjp(cotangents)).image!;
    const { results, gradient } = await byFiles(out, image, cotangents);
    expect(relativeError(results.logits!.data as Float32Array, outputs.logits!.data)).toBeLessThan(1e-5);
    expect(relativeError(gradient, expected.data)).toBeLessThan(1e-4);
    expect(expected.data.some((value) => value !== 0)).toBe(true);
  });

  it("share each weight that both read", async () => {
    const b = new GraphBuilder();
    const x = b.input("x", ["n", 64]);
    b.output(b.op("MatMul", [x, b.floats([64, 64], numbers(64, 64))]), { dims: ["n", 64] }, "y");
    await using model = await load(writeOnnx(b.graph).model, { threads: 1 });
    const out = join(folder, "shared");
    await model.write(out, { externalAbove: 0 });
    expect((await stat(join(out, "weights.bin"))).size).toBe(64 * 64 * 4);
  });

  it("do not replace files that are there, unless that is asked for", async () => {
    await using model = await load(network(), { threads: 1 });
    const out = join(folder, "undefined");
    await expect(model.write(out)).rejects.toThrow(UsageError);
    await expect(model.write(out)).rejects.toThrow(/has forward.onnx, pullback.onnx, vjp.json already/);
    await model.write(out, { overwrite: true });
    expect(
      (
        await byFiles(out, new Tensor("float32", numbers(1, 3, 8, 8), [1, 3, 8, 8]), {
          logits: numbers(1, 5),
          probabilities: numbers(1, 5),
        })
      ).gradient,
    ).toHaveLength(3 * 64);
  });

  it("are written by the command line, for the input and the output that are named", async () => {
    const path = join(folder, "network.onnx");
    await writeFile(path, network());
    const out = join(folder, "by-command");
    const args = ["vjp", path, "--out", out, "--wrt", "image", "--of", "logits", "--shape", "image=2,3,8,8"];
    const { code, stdout, stderr } = await clpdd([...args, "--json", "--quiet"]);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    const written = JSON.parse(stdout.trim().split("\n").at(-1)!) as WrittenVjp;
    expect(written.forward.outputs.map(({ name }) => name)).toEqual(["logits"]);
    expect(stdout).toContain("gradient/image");
    await using model = await load(path, { threads: 1, output: "logits" });
    const expected = await (await model.vjp({ image })).vjp(cotangents.logits);
    const { gradient } = await byFiles(out, image, cotangents);
    expect(relativeError(gradient, expected.image!.data)).toBeLessThan(1e-4);
    const again = await clpdd([...args, "--quiet"]);
    expect(again.code).toBe(2);
    expect(again.stderr).toContain("already");
    const unknown = await clpdd(["vjp", path, "--out", join(folder, "x"), "--of", "nothing"]);
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toMatch(/no output or other tensor "nothing".*"logits"/);
  });
});
