import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const app = fileURLToPath(new URL("../../dist/app/", import.meta.url));

test("the page shows itself before 200 kB have come", () => {
  const page = readFileSync(join(app, "index.html"), "utf8");
  const named = [...page.matchAll(/(?:src|href)="\.\/([^"]+)"/g)].map(([, name]) => name!);
  expect(named.some((name) => name.endsWith(".js"))).toBe(true);
  expect(named.some((name) => name.endsWith(".css"))).toBe(true);
  const bytes = ["index.html", ...named].reduce((sum, name) => sum + statSync(join(app, name)).size, 0);
  expect(bytes).toBeLessThan(200_000);
});

test("only the page for the hub may connect to anybody but its own server", () => {
  const policies = readdirSync(app)
    .filter((name) => name.endsWith(".html"))
    .map((name) => [name, /connect-src ([^;]+);/.exec(readFileSync(join(app, name), "utf8"))?.[1]]);
  expect(Object.fromEntries(policies)).toEqual({
    "index.html": "'self'",
    "hub.html": "'self' https://huggingface.co https://*.huggingface.co https://*.hf.co",
  });
});

test("the license of the drawings to try is beside them", () => {
  expect(readFileSync(join(app, "ready/LICENSE.txt"), "utf8")).toMatch(/Noto Emoji[\s\S]*Apache License/);
});
