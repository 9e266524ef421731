import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { MemoryError, ModelError, UsageError } from "../../../src/onnx-vjp/errors.ts";
import { load } from "../../../src/onnx-vjp/model.ts";
import { nodeRuntime } from "../../../src/onnx-vjp/runtime/node.ts";

const fault = (name: string) =>
  new Uint8Array(readFileSync(new URL(`../../fixtures/faults/onnx/${name}.onnx`, import.meta.url)));

describe("a model that takes more than a machine has is refused before it runs", () => {
  it.each([
    // 2³¹ floats are 8 GiB.
    ["constant-of-shape-2p31", /ConstantOfShape "big", which makes float32 \[2147483648\].* 8 GiB/],
    // 2²¹ times 15 · 15 floats are the first above 1 GiB with what they are doubled from.
    ["doubling-24-live", /Concat "d\d+", which makes float32 \[1, \d+, 15, 15\]/],
    ["batch-1e9", /its inputs alone, float32 \[1000000000, 3, 32, 32\]/],
    ["resize-1e6", /Resize "r"/],
  ])("by its shapes: %s", async (name, message) => {
    const model = await load(fault(name), { threads: 1, memoryBytes: 2 ** 30 });
    const refused = model.coverage({ image: [name === "batch-1e9" ? 1e9 : 1, 3, 32, 32] });
    await expect(refused).rejects.toThrow(MemoryError);
    await expect(refused).rejects.toThrow(message);
  });

  it("by a loop that counts to 2⁶²", async () => {
    const model = await load(fault("loop-2p62-live"), { threads: 1 });
    const refused = model.coverage({ image: [1, 3, 32, 32] });
    await expect(refused).rejects.toThrow(ModelError);
    await expect(refused).rejects.toThrow(/Loop "r" is a loop of 4611686018427388000 iterations/);
  });

  it("by a value whose name is that of what every object inherits", async () => {
    await expect(load(fault("folded-named-proto"))).rejects.toThrow(/value "__proto__"/);
  });

  it("and no more threads are started than there is use for", () => {
    expect(() => nodeRuntime({ threads: 1_000_000 })).toThrow(UsageError);
  });
});
