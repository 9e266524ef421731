import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { DataError } from "../../src/errors.ts";
import { openSafetensors, writeSafetensors } from "../../src/files/safetensors.ts";

const folder = fileURLToPath(new URL("../fixtures/faults/safetensors", import.meta.url));

// What safetensors 0.8.0 says of each file.
const accepted = ["control", "emptyname", "extra", "leadingspace", "proto"];
const refused = [
  ...["duplicate", "hdr2p53", "hole", "nan", "neg", "offs2p53", "overflow", "overlap", "trailing"],
  ...["unaligned", "utf8", "zerosize"],
];

describe("safetensors are read as strictly as their own library reads them", () => {
  it.each(accepted)("%s is read", async (name) => {
    const file = await openSafetensors(join(folder, `${name}.safetensors`));
    const [[tensor, entry] = []] = file.tensors;
    expect(tensor).toBe({ emptyname: "", proto: "__proto__" }[name] ?? "a");
    expect(entry).toMatchObject({ dtype: "F32", shape: [4], bytes: 16 });
    await file.close();
  });

  it.each(refused)("%s is refused", async (name) => {
    const opening = openSafetensors(join(folder, `${name}.safetensors`));
    await expect(opening).rejects.toThrow(DataError);
    await expect(opening).rejects.toThrow(/is damaged/);
  });

  it("and written with any name", async () => {
    const own = await mkdtemp(join(tmpdir(), "clp-dd-names-"));
    try {
      const path = join(own, "names.safetensors");
      const names = ["__proto__", "constructor", "toString", ""];
      const tensors = names.map((name, i) => ({
        name,
        dtype: "F32" as const,
        shape: [1],
        data: Float32Array.of(i),
      }));
      await writeSafetensors(path, tensors);
      const file = await openSafetensors(path);
      for (const [i, name] of names.entries()) expect([...(await file.float32(name))]).toEqual([i]);
      await file.close();
    } finally {
      await rm(own, { recursive: true });
    }
  });
});
