import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { randomNumbers } from "./check-rule.ts";

/** Colours of the made classes: easy to tell apart for any encoder. */
const colors = { red: [200, 40, 40], green: [40, 170, 60], blue: [50, 60, 200] } as const;

/** Makes an image folder of three classes, `count` noisy images each, `size` px; returns its path. */
export async function makePhotos(folder: string, count = 8, size = 40): Promise<string> {
  const random = randomNumbers(7);
  for (const [name, color] of Object.entries(colors)) {
    await mkdir(join(folder, name), { recursive: true });
    for (let i = 0; i < count; i++) {
      const data = Uint8Array.from({ length: size * size * 3 }, (_, p) =>
        Math.max(0, Math.min(255, color[p % 3] + 50 * random())),
      );
      await sharp(data, { raw: { width: size, height: size, channels: 3 } })
        .png()
        .toFile(join(folder, name, `${i}.png`));
    }
  }
  return folder;
}
