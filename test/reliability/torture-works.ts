import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readArtifact } from "../../src/artifact/read-artifact.ts";
import { writeOnnx } from "../../src/onnx-vjp/graph/write-onnx.ts";
import { smallModel } from "./torture-model.ts";
import { hashOf, run } from "./torture-run.ts";

/** Work that is killed, and how its outcome is told from another. */
export interface Work {
  readonly name: string;
  /** Brings the folder into the state before the work. */
  prepare(): Promise<void>;
  readonly args: readonly string[];
  /** What takes the work up again after a kill. */
  again(): readonly string[];
  /** A hash of what it leaves. */
  outcome(): Promise<string>;
  /**
   * Throws where what a kill left is neither the state before nor the one after.
   * @param expected the hash of what the work leaves undisturbed
   */
  check?(expected: string): Promise<void>;
}

export const setFiles = /(^|\/)(distilled\.safetensors|probe\.safetensors|.*\.png)$/;
const cacheFiles = /(features|rows)\.bin$/;
const exportFiles = /\.(onnx|json|md)$/;

/** A folder with a few photos, and all that is done with them. */
export interface Home {
  at(name: string): string;
  /** The distillation, into `out`. */
  readonly distil: readonly string[];
  /** The distillation first. */
  readonly works: readonly [Work, ...Work[]];
  fresh(...names: readonly string[]): Promise<void>;
}

/** Makes the photos, and what the works begin from: a set of other settings, and the parts of a cache. */
export async function madeHome(home: string): Promise<Home> {
  const at = (name: string) => join(home, name);
  await mkdir(home, { recursive: true });
  execFileSync(process.execPath, [
    "--input-type=module",
    "-e",
    `import sharp from "sharp"; import { mkdirSync } from "node:fs";
     for (const [name, color] of [["red", [200, 40, 40]], ["green", [40, 170, 60]], ["blue", [50, 60, 200]]]) {
       mkdirSync(process.argv[1] + "/" + name, { recursive: true });
       for (let i = 0; i < 8; i++)
         await sharp(Uint8Array.from({ length: 4800 }, (_, p) => (color[p % 3] + ((p * 7919 + i * 104729) % 97)) % 256),
           { raw: { width: 40, height: 40, channels: 3 } }).png().toFile(process.argv[1] + "/" + name + "/" + i + ".png");
     }`,
    at("photos"),
  ]);
  // A small model, so that most of a run is what surrounds the model.
  const encoder = ["--encoder", at("model.onnx"), "--threads", "1"];
  await writeFile(at("model.onnx"), writeOnnx(smallModel()).model);
  const data = [at("photos"), ...encoder];
  const cache = ["--cache-dir", at("cache")];
  const quick = ["--steps", "40", "--no-baselines", "--no-edits"];
  const distil = ["distill", ...data, ...cache, ...quick, "--out", at("out")];
  const fresh = async (...names: readonly string[]) => {
    for (const name of names) await rm(at(name), { recursive: true, force: true });
  };

  await done([...distil, "--seed", "9"]);
  await cp(at("out"), at("before"), { recursive: true });
  for (const part of ["0/2", "1/2"])
    await done(["features", ...data, "--cache-dir", at("parts"), "--shard", part]);
  await cp(at("parts"), at("parts-before"), { recursive: true });

  const isSet = (name: string) => existsSync(at(name)) || existsSync(`${at(name)}.replaced-by-clp-dd`);
  const features = ["features", ...data, "--cache-dir", at("own")];
  const merge = ["features", ...data, "--cache-dir", at("parts"), "--merge", "2"];
  const exporting = ["export", at("before"), ...encoder, "--out", at("exported"), "--overwrite"];
  const works: [Work, ...Work[]] = [
    {
      name: "distill",
      prepare: () => fresh("out", "out.checkpoint"),
      args: distil,
      // As the message of a kill before the first checkpoint says.
      again: () =>
        existsSync(join(at("out.checkpoint"), "checkpoint.safetensors")) ? [...distil, "--resume"] : distil,
      outcome: () => hashOf(at("out"), setFiles),
      async check() {
        if (isSet("out")) await readArtifact(at("out"));
      },
    },
    {
      name: "features",
      prepare: () => fresh("own"),
      args: features,
      again: () => features,
      outcome: () => hashOf(at("own"), cacheFiles),
    },
    {
      name: "overwrite",
      async prepare() {
        await fresh("out", "out.checkpoint", "out.replaced-by-clp-dd");
        await cp(at("before"), at("out"), { recursive: true });
      },
      args: [...distil, "--overwrite"],
      again: () => [...distil, "--overwrite"],
      outcome: () => hashOf(at("out"), setFiles),
      async check() {
        if (!isSet("out")) throw new Error("the set is gone");
        await readArtifact(at("out"));
      },
    },
    {
      name: "merge",
      async prepare() {
        await fresh("parts");
        await cp(at("parts-before"), at("parts"), { recursive: true });
      },
      args: merge,
      again: () => merge,
      outcome: () => hashOf(at("parts"), cacheFiles),
    },
    {
      name: "export",
      prepare: () => fresh("exported"),
      args: exporting,
      again: () => exporting,
      outcome: () => hashOf(at("exported"), exportFiles),
      // An export has no hashes in it: what is there under its name must be all of it.
      async check(expected) {
        if (existsSync(at("exported")) && (await hashOf(at("exported"), exportFiles)) !== expected)
          throw new Error("half an export is there under its name");
      },
    },
  ];
  return { at, distil, works, fresh };
}

async function done(args: readonly string[]): Promise<void> {
  const { code, stderr } = await run(args);
  if (code !== 0) throw new Error(`${args[0]} does not work by itself: ${stderr}`);
}
