import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const size = 224;

/** A picture of one shape on a plain ground. */
async function draw(path: string, shape: string, ground = "#dddddd"): Promise<void> {
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${size}" height="${size}"><rect width="100%" height="100%" fill="${ground}"/>${shape}</svg>`;
  await sharp(Buffer.from(svg)).png().toFile(path);
}
const face = (x: number, y: number, r: number) =>
  `<g transform="translate(${x} ${y}) scale(${r / 40})"><circle r="40" fill="#fc3" stroke="#630" stroke-width="3"/>
   <circle cx="-14" cy="-10" r="6"/><circle cx="14" cy="-10" r="6"/>
   <path d="M-20 12 Q0 34 20 12" fill="none" stroke="#000" stroke-width="5"/></g>`;
const house = (x: number, y: number, r: number) =>
  `<g transform="translate(${x} ${y}) scale(${r / 40})"><rect x="-30" y="-8" width="60" height="45" fill="#b55" stroke="#300"/>
   <path d="M-38 -8 L0 -40 L38 -8 Z" fill="#533"/><rect x="-8" y="12" width="16" height="25" fill="#321"/></g>`;

function runExample(name: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, "examples", name), ...args], {
    cwd: root,
    encoding: "utf8",
  });
  expect(stderr).toBe("");
  expect(status).toBe(0);
  return stdout;
}

const pixelsOf = async (path: string): Promise<{ data: Buffer; width: number }> => {
  const { data, info } = await sharp(path).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  expect([info.width, info.height, info.channels]).toEqual([size, size, 3]);
  return { data, width: info.width };
};

describe("the examples", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "examples-"));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it.each([
    ["the left", 60],
    ["the right", 164],
  ])("show that the encoder looks at what is on %s of a photo", async (_, x) => {
    const [photo, out] = [join(folder, `at-${x}.png`), join(folder, `out-${x}`)];
    await draw(photo, face(x, 112, 44));
    runExample("saliency.js", photo, out);
    for (const name of ["saliency.png", "grad-cam.png"]) {
      const { data } = await pixelsOf(join(out, name));
      // Red beyond the gray of the photo, left and right.
      const heat = [0, 0];
      for (let i = 0; i < size * size; i++)
        heat[i % size < size / 2 ? 0 : 1] += data[3 * i] - data[3 * i + 1];
      expect(heat[x < size / 2 ? 0 : 1] / (heat[0] + heat[1])).toBeGreaterThan(0.6);
    }
  });

  it("change the label of a photo by a few levels per pixel", async () => {
    for (const [name, shape] of Object.entries({ face, house })) {
      await mkdir(join(folder, "photos", name), { recursive: true });
      for (const [i, x] of [80, 112, 144].entries())
        await draw(join(folder, "photos", name, `${i}.png`), shape(x, 112, 50));
    }
    const [photo, out] = [join(folder, "new.png"), join(folder, "adversarial")];
    await draw(photo, house(120, 100, 60), "#cce0ee");
    const printed = runExample("adversarial.js", join(folder, "photos"), photo, out);
    expect(printed).toContain("before: house\n");
    const levels = Number(/after: {2}face \(each pixel changed by at most (\d+) of 255/.exec(printed)?.[1]);
    expect(levels).toBeLessThanOrEqual(16);
    expect(levels).toBeGreaterThan(0);
    const [before, after] = [await pixelsOf(join(out, "before.png")), await pixelsOf(join(out, "after.png"))];
    const largest = before.data.reduce(
      (most, value, i) => Math.max(most, Math.abs(value - after.data[i])),
      0,
    );
    expect(largest).toBe(levels);
  });
});
