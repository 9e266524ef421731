import { describe, expect, it } from "vitest";
import { usedText, type WebPeers, webPeersTable } from "../../../bench/lib/web-peers-table.ts";

const found: WebPeers = {
  model: "vit-s16",
  size: 224,
  versions: { "ours in wasm": "1.30.0", "TensorFlow.js": "4.22.0", browser: "Chrome/156" },
  threads: { ort: 2, tfjs: 1 },
  notes: [],
  rows: [
    {
      batch: 8,
      mode: "step",
      rounds: 3,
      ms: { own: 50, ort: 200, jax: 1000 },
      differences: { ort: 1.24e-6, jax: 3e-5 },
    },
  ],
};
const cells = (line: string) => line.split(/ {2,}/).map((cell) => cell.trim());

describe("the table of peers in the browser", () => {
  it("divides a peer's time by ours in Node and by ours in the browser, and leaves out what did not run", () => {
    expect(webPeersTable([found]).split("\n").slice(2).map(cells)).toEqual([
      ["vit-s16", "8", "step", "ours", "50.0", "–", "–", "–"],
      ["vit-s16", "8", "step", "ours in wasm", "200", "4.00", "–", "1.2e-6"],
      ["vit-s16", "8", "step", "TensorFlow.js", "–", "–", "–", "–"],
      ["vit-s16", "8", "step", "jax-js", "1000", "20.00", "5.00", "3.0e-5"],
    ]);
  });

  it("fits 80 columns with the longest name and times of minutes", () => {
    const long = { ...found, model: "efficientnet-lite0" };
    const rows = [{ ...found.rows[0], mode: "features" as const, ms: { own: 99.9, jax: 12345 } }];
    const lines = webPeersTable([{ ...long, rows }]).split("\n");
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(lines).toHaveLength(6);
  });

  it("says the versions and threads of those that told them", () => {
    expect(usedText([found])).toBe("Threads: ours in wasm (1.30.0) 2, TensorFlow.js (4.22.0) 1; Chrome/156.");
  });
});
