import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { displayWidth } from "../../src/cli/width.ts";
import { dataSets } from "../../src/data/sets/catalogue.ts";
import { clpdd } from "../support/command.ts";
import { dataFolder } from "../support/data-folder.ts";

describe("clp-dd datasets", () => {
  it("lists every known data set in 80 columns, and as JSON", async () => {
    const { code, stdout } = await clpdd(["datasets", "--json"]);
    expect(code).toBe(0);
    const lines = stdout.trimEnd().split("\n");
    const json = JSON.parse(lines.pop()!);
    expect(json.map(({ name }: { name: string }) => name)).toEqual(dataSets.map(({ name }) => name));
    for (const line of lines) expect(displayWidth(line), line).toBeLessThanOrEqual(80);
    for (const { name, page } of dataSets) {
      expect(stdout).toContain(`\n${name} `);
      expect(stdout).toContain(page);
    }
  });

  it("prints how one of them must lie", async () => {
    const { stdout } = await clpdd(["datasets", "cub-200"]);
    expect(stdout).toContain("cub-200:PATH");
    expect(stdout).toContain("train_test_split.txt");
  });

  it("names the known ones when asked for another", async () => {
    const { code, stderr } = await clpdd(["datasets", "cub"]);
    expect(code).toBe(2);
    expect(stderr).toContain("cub-200");
  });
});

describe("a data set given as NAME:PATH", () => {
  it("is distilled, and tested on its worst group where it has groups", async () => {
    const root = await dataFolder();
    const rows = ["img_id,img_filename,y,split,place,place_filename"];
    const images: Record<string, Uint8Array> = {};
    for (const split of [0, 2]) {
      for (const y of [0, 1]) {
        for (const place of [0, 1]) {
          for (let i = 0; i < 3; i++) {
            const name = `${split}/${y}${place}${i}.png`;
            const background = { r: 200 * y, g: 90 * place, b: 20 * i };
            images[name] = await sharp({ create: { width: 40, height: 40, channels: 3, background } })
              .png()
              .toBuffer();
            rows.push(`${rows.length},${name},${y},${split},${place},x`);
          }
        }
      }
    }
    // A validation split has no part in it, but an empty one would be refused.
    rows.push(`${rows.length},0/000.png,0,1,0,x`);
    await root.files({ "data/metadata.csv": `${rows.join("\n")}\n` });
    await root.files(Object.fromEntries(Object.entries(images).map(([name, png]) => [`data/${name}`, png])));
    const data = `waterbirds:${join(root.path, "data")}`;
    const common = ["--size", "32", "--cache-dir", join(root.path, "cache"), "--quiet", "--json"];
    const inside = await clpdd(["distill", data, "--out", join(root.path, "data/out"), ...common]);
    expect(inside.stderr).toMatch(/is inside the data set/);
    expect(inside.code).toBe(2);
    const made = await clpdd(["distill", data, "--out", join(root.path, "out"), "--steps", "4", ...common]);
    expect(made.stderr).toBe("");
    const manifest = JSON.parse(await readFile(join(root.path, "out/manifest.json"), "utf8"));
    expect(manifest.classes).toEqual(["landbird", "waterbird"]);
    expect(manifest.data).toMatchObject({ name: "waterbirds", counts: { train: 12, test: 12 } });
    const own = manifest.metrics.rows.find(({ name }: { name: string }) => name === "distilled");
    expect(own.worstGroup).toBeLessThanOrEqual(own.top1);
    await rm(root.path, { recursive: true });
  }, 180_000);
});
