/**
 * The architectures in docs/encoders.md: features and gradients of popular models, exported by both of PyTorch's
 * exporters with random weights, against their float64 references.
 *
 *   python tools/export_architectures.py FOLDER && npm run architectures -- FOLDER
 *
 * What is measured is kept in docs/encoders.json, by model and exporter, and what is there is not measured again unless
 * `--again` is given. So folders with one exporter each can be measured one after the other.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Architecture, encodersPage, type Kept } from "./encoders-page.ts";
import { child, failure } from "./section.ts";

/** What tools/export_architectures.py says of a model. */
interface Exported extends Omit<Architecture, "exports"> {
  readonly failures: Readonly<Record<string, string>>;
}

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { again: { type: "boolean", default: false } },
});
const [folder] = positionals;
if (folder === undefined) throw new Error("Give the folder that tools/export_architectures.py wrote.");

const keptIn = "docs/encoders.json";
const kept = JSON.parse(readFileSync(keptIn, "utf8")) as Kept;
const architectures = new Map((kept.architectures ?? []).map((a) => [a.name, a]));
for (const name of readdirSync(folder).sort()) {
  const file = join(folder, name, "meta.json");
  const exports: Record<string, Architecture["exports"][string]> = { ...architectures.get(name)?.exports };
  const exporters = ["torchscript", "dynamo"].filter((e) => options.again || exports[e] === undefined);
  if (exporters.length === 0 || !existsSync(file)) continue;
  const { failures, ...meta } = JSON.parse(readFileSync(file, "utf8")) as Exported;
  for (const exporter of exporters) {
    const refused = failures[exporter];
    if (refused === undefined && !existsSync(join(folder, name, `${exporter}.onnx`))) continue;
    if (refused !== undefined) exports[exporter] = { failure: refused, of: "exporter" };
    else {
      try {
        exports[exporter] = child("architecture.js", [join(folder, name), exporter], 300);
      } catch (error) {
        exports[exporter] = { failure: failure(error), of: "clp-dd" };
      }
    }
  }
  architectures.set(name, { ...meta, exports });
  const all = [...architectures.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  const now = { ...kept, architectures: all };
  writeFileSync(keptIn, `${JSON.stringify(now, null, 1)}\n`);
  writeFileSync("docs/encoders.md", encodersPage(now));
  console.error(`${name}: ${JSON.stringify(exports)}`);
}
