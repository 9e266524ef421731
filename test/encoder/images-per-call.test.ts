import { describe, expect, it } from "vitest";
import { createEncoder } from "../../src/encoder/encoder.ts";
import { chunkSize, imagesACall, shardSize } from "../../src/encoder/images-per-call.ts";
import { loadEncoderModel } from "../../src/encoder/load/load.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";

describe("images a call", () => {
  it("takes fewer where the values of an image are larger, and at least one a thread up to 8", async () => {
    const sizeAt = async (size: number, threads: number) => {
      const encoder = await createEncoder(
        nodeRuntime({ threads }),
        await loadEncoderModel("efficientnet-lite0", { size }),
      );
      await encoder.release();
      return encoder.imagesACall;
    };
    expect(await sizeAt(32, 2)).toBe(16);
    expect(await sizeAt(224, 2)).toBeLessThan(await sizeAt(128, 2));
    expect(await sizeAt(224, 8)).toBe(10);
    expect(await sizeAt(448, 6)).toBe(6);
  });

  it("takes as many as there is room for on a device", async () => {
    expect(imagesACall({ device: "webgpu", threads: 2 }, 2 ** 30)).toBe(32);
  });

  it("cuts into shards with which all cores are done first, and into small ones where that is the same", () => {
    // 2 cores: as many rounds of 2 as of 4.
    expect(shardSize(8, 4, 2)).toBe(2);
    // Two shards of 5 take 5 images' time, five of 2 take 6.
    expect(shardSize(10, 4, 2)).toBe(5);
    expect(shardSize(10, 4, 8)).toBe(2);
    // An image alone takes longer than its share, but not as long as two.
    expect(shardSize(10, 4, 16)).toBe(1);
    expect(shardSize(1000, 4, 2)).toBe(2);
    expect(shardSize(1, 4, 2)).toBe(1);
  });

  it("cuts into chunks of at most the ideal size with as few empty places as can be", () => {
    expect(chunkSize(10, 8)).toBe(5);
    expect(chunkSize(8, 3)).toBe(2);
    expect(chunkSize(56, 8)).toBe(8);
    expect(chunkSize(3, 8)).toBe(3);
    expect(chunkSize(7, 2)).toBe(2);
    expect(chunkSize(1, 16)).toBe(1);
  });
});
