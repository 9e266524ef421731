import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { coverageOf, type OperatorList, operatorsPage } from "../../bench/pages/operators-page.ts";

const at = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const list = JSON.parse(readFileSync(at("tools/onnx-operators.json"), "utf8")) as OperatorList;

it("docs/operators.md is what the tables of rules and lowerings say", () => {
  expect(readFileSync(at("docs/operators.md"), "utf8")).toBe(operatorsPage(list));
});

it("every operator that leads from floats to floats is covered, or told why it is not", () => {
  const untold = list.operators
    .map(coverageOf)
    .filter(({ pullback, note }) => pullback === "no" && note === "");
  expect(untold).toEqual([]);
});

it("every operator with a pullback is in a test of the engine", () => {
  const folder = at("test/onnx-vjp");
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) =>
    file.endsWith(".ts"),
  );
  const text = files.map((file) => readFileSync(join(folder, file), "utf8")).join("\n");
  const untested = list.operators
    .map(coverageOf)
    .filter(({ name, pullback }) => pullback === "yes" && !new RegExp(`["' ]${name}["',: ]`).test(text));
  expect(untested.map(({ name }) => name)).toEqual([]);
});
