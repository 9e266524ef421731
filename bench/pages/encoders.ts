/**
 * docs/encoders.md: every family's errors against its reference, and full-size encoders beside PyTorch.
 *
 *   npm run bench:encoders [-- --only resnet50@dynamo18,dinov2-base] [--page]
 *
 * What is measured is kept in docs/encoders.json, model by model, and not measured again unless `--only` names it;
 * `--page` writes the page from what is kept. Needs the Python peers (bench/peers/setup).
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg } from "node:os";
import { parseArgs } from "node:util";
import { fullSizeFamilies } from "../lib/full-size-families.ts";
import type { FullSize } from "../runs/full-size.ts";
import { encodersPage, type Kept, type KeptModel } from "./encoders-page.ts";
import { child, failure } from "./section.ts";

const { values: options } = parseArgs({
  options: { only: { type: "string" }, page: { type: "boolean", default: false } },
});
const networks =
  "resnet50,convnext_tiny,mobilenet_v3_large,efficientnet_b0,regnet_y_400mf,swin_t,deit_small,vit_base,mobilevit_s," +
  "fastvit_t8";
const every = [
  ...fullSizeFamilies,
  ...networks.split(",").flatMap((name) => [`${name}@torchscript17`, `${name}@dynamo18`]),
];

/** More of them where ReLU's kinks are many: in one of eight, no unit is at a kink. */
const imagesOf = (model: string): number =>
  !model.includes("@") ? 1 : /^(resnet|regnet)/.test(model) ? 8 : 2;

const keptIn = "docs/encoders.json";
const kept: Omit<Kept, "machine" | "fixtures" | "models"> & {
  machine: string;
  fixtures: Kept["fixtures"];
  models: KeptModel[];
} = existsSync(keptIn) ? JSON.parse(readFileSync(keptIn, "utf8")) : { machine: "", fixtures: {}, models: [] };
const keep = (): void => {
  kept.models.sort((a, b) => every.indexOf(a.model) - every.indexOf(b.model));
  kept.machine = `${availableParallelism()} cores (${cpus()[0]?.model.trim()}), Node ${process.version}`;
  writeFileSync(keptIn, `${JSON.stringify(kept, null, 1)}\n`);
  writeFileSync("docs/encoders.md", encodersPage(kept));
};

const only = options.only?.split(",");
const unknown = only?.find((name) => !every.includes(name));
if (unknown !== undefined) throw new Error(`--only takes of ${every.join(", ")}; got ${unknown}`);
if (!options.page) {
  if (only === undefined && Object.keys(kept.fixtures).length === 0) {
    kept.fixtures = child<{ families: Kept["fixtures"] }>("parity.js", ["--json"]).families;
  }
  for (const model of only ?? every) {
    if (only === undefined && kept.models.some((m) => m.model === model && m.result)) continue;
    const load = loadavg()[0];
    const batch = imagesOf(model);
    let done: KeptModel;
    try {
      const { models } = child<{ models: FullSize[] }>("full-size.js", [
        ...["--models", model, "--batch", batch, "--seconds", 6],
      ]);
      done = { model, result: models[0], load };
    } catch (error) {
      done = { model, failure: failure(error), load };
    }
    kept.models = [...kept.models.filter((m) => m.model !== model), done];
    keep();
    console.error(`${model}: ${done.failure ?? "done"}`);
  }
}
keep();
