import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { readImageFile } from "../../src/images/image-file.ts";

it("a long file that is not an image is not read: it may be sparse, and of any size", async () => {
  const folder = await mkdtemp(join(tmpdir(), "clp-dd-image-file-"));
  try {
    const path = join(folder, "zeros.png");
    await writeFile(path, "");
    await truncate(path, 2 ** 30 - 1);
    const before = process.memoryUsage().rss;
    await expect(readImageFile(path)).rejects.toThrow(/1073741823 bytes and does not begin as an image does/);
    expect(process.memoryUsage().rss - before).toBeLessThan(100 * 2 ** 20);
    for (const beginning of [
      "ffd8ffe0",
      "89504e470d0a1a0a",
      "0000001c66747970617669",
      "4d4d002a",
      "3c737667",
    ]) {
      await writeFile(path, Buffer.from(beginning, "hex"));
      await truncate(path, 17 * 2 ** 20);
      expect((await readImageFile(path)).length).toBe(17 * 2 ** 20);
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});
