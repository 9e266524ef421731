import { expect, it } from "vitest";
import { encodersPage } from "../../../bench/pages/encoders-page.ts";
import { knownEncoders } from "../../../src/encoder/registry.ts";

const result = {
  model: "net@dynamo18",
  featureSize: 8,
  errors: { features: 1.23e-6, gradient: 4.5e-6 },
  peerErrors: { features: 2e-6, gradient: 3e-6 },
  ms: { features: 10, gradient: 40 },
  peerMs: { features: 15, gradient: 50 },
  loadSeconds: 1,
  versions: { torch: "2.0" },
};

it("shows measured models by kind, why others were not, and every name", () => {
  const page = encodersPage({
    machine: "a machine",
    fixtures: { vit: { features: 1e-7, gradient: 2e-7 } },
    models: [
      { model: "vit-b", failure: "out of memory", load: 0 },
      { model: "net@dynamo18", result, load: 1.25 },
    ],
  });
  expect(page).toContain(
    "| net | dynamo18 | 1.2e-6 | 2.0e-6 | 4.5e-6 | 3.0e-6 | 10 | 15 | 1.50 | 40 | 50 | 1.25 | 1.3 |",
  );
  expect(page).toContain("| vit-b | out of memory |");
  expect(page).toContain("| vit | 1.0e-7 | 2.0e-7 |");
  for (const { name } of knownEncoders) expect(page).toContain(`| \`${name}\` |`);
  const cells = (start: string) =>
    page
      .split("\n")
      .find((line) => line.startsWith(start))!
      .split("|").length;
  expect(cells("| net |")).toBe(cells("| network |"));
  expect(cells("| vit-b |")).toBe(cells("| model |"));
});
