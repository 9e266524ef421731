import { execFileSync, spawnSync } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "clp-dd-consumer-"));
const installed = join(folder, "node_modules/clp-dd");
const tsc = join(root, "node_modules/typescript/bin/tsc");
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Uses what the package exports in the ways that its types must allow, and in one that they must refuse. */
const program = `import {
  type Artifact, type LoadedEncoder, type Matrix, type Probe,
  baseline, compare, datasets, distill, encoders, evaluate, extract, inspect, loadEncoder, profile, readArtifact,
} from "clp-dd";

export async function classify(path: string): Promise<string[]> {
  const set: Artifact = await readArtifact("distilled");
  const encoder: LoadedEncoder = await loadEncoder(set, { device: "cpu" });
  const features: Matrix = await encoder.encode([path, new Uint8Array(8), { width: 1, height: 1, data: new Uint8Array(3) }]);
  const probe: Probe = await set.probe();
  const accuracy: number = probe.score(features, [0, 1, 2]);
  console.log(accuracy, encoder.feature.tensor, (await encoder.pullback(await set.images(), features)).length);
  await encoder[Symbol.asyncDispose]();
  return Array.from(probe.predict(features), (label) => set.manifest.classes[label] ?? "");
}

export async function commands(): Promise<void> {
  const { manifest, seconds } = await distill({ data: "emoji", out: "out", steps: 5, normalize: ["l2"] });
  const best: number | undefined = manifest.metrics.closedForm?.top1;
  const made = await baseline({ kind: "herding", data: "emoji", out: "real", ipc: 2 });
  const [first] = await evaluate([made.out], { data: "emoji", probes: ["closed-form"] });
  const { cells } = await compare({ data: ["emoji"], encoders: ["efficientnet-lite0"], methods: ["clp"] }, { out: "grid" });
  const [cache] = await extract({ data: "emoji", storage: "float16" });
  const { candidates } = await inspect("model.onnx", { size: 64 });
  const { stepMs } = await profile({ images: 4 });
  console.log(best, seconds, first?.probes[0]?.top1.mean, cells[0]?.cell.ipc, cache?.path, candidates[0]?.name, stepMs);
  console.log((await encoders())[0]?.present, datasets()[0]?.terms);
  // @ts-expect-error no such method
  await distill({ data: "emoji", out: "out", method: "none" });
}
`;

beforeAll(() => {
  // What is published, but for the runtime's binaries, which are bundled and take minutes to compress.
  const staged = join(folder, "staged");
  const { bundleDependencies: _, ...manifest } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  mkdirSync(staged);
  writeFileSync(join(staged, "package.json"), JSON.stringify(manifest));
  for (const name of ["dist", "README.md", "LICENSE"])
    cpSync(join(root, name), join(staged, name), { recursive: true });
  execFileSync("npm", ["pack", "--ignore-scripts", "--offline", "--pack-destination", folder], {
    cwd: staged,
    stdio: "pipe",
  });
  const packed = readdirSync(folder).find((name) => name.endsWith(".tgz"))!;
  mkdirSync(installed, { recursive: true });
  execFileSync("tar", ["-xzf", join(folder, packed), "-C", installed, "--strip-components=1"]);
  // The declared dependencies and the types of Node.js, and nothing else that this checkout happens to have.
  for (const name of [...Object.keys(manifest.dependencies), "@types/node", "undici-types"]) {
    const link = join(folder, "node_modules", name);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(join(root, "node_modules", name), link);
  }
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  writeFileSync(join(folder, "program.ts"), program);
}, 120_000);

/** What the compiler says of a file of a project that trusts no declaration. */
function compile(file: string, module: string, moduleResolution: string): string {
  const options = { module, moduleResolution, strict: true, skipLibCheck: false, noEmit: true };
  const config = join(folder, `tsconfig.${moduleResolution}.${file}.json`);
  const compilerOptions = { ...options, target: "es2022", types: ["node"], preserveSymlinks: false };
  writeFileSync(config, JSON.stringify({ compilerOptions, files: [file] }));
  return spawnSync(process.execPath, [tsc, "-p", config], { cwd: folder, encoding: "utf8" }).stdout;
}

describe("a TypeScript project that uses the package", () => {
  it.each([
    ["nodenext", "nodenext"],
    ["esnext", "bundler"],
  ])(
    "compiles under strict, with every declaration checked: module %s, resolution %s",
    (module, resolution) => {
      expect(compile("program.ts", module, resolution)).toBe("");
    },
    120_000,
  );

  it("compiles the README's programs", () => {
    const readme = readFileSync(join(root, "README.md"), "utf8");
    const programs = [...readme.matchAll(/<!-- example -->\n```js\n([\s\S]*?)```/g)].map(([, text]) => text!);
    expect(programs).toHaveLength(2);
    for (const [i, text] of programs.entries()) {
      writeFileSync(join(folder, `readme${i}.ts`), text);
      expect(compile(`readme${i}.ts`, "nodenext", "nodenext")).toBe("");
    }
  }, 120_000);
});

describe("a CommonJS program", () => {
  it("requires the package", () => {
    writeFileSync(join(folder, "program.cjs"), 'console.log(Object.keys(require("clp-dd")).join());');
    const { stdout, stderr } = spawnSync(process.execPath, ["program.cjs"], {
      cwd: folder,
      encoding: "utf8",
    });
    expect(stderr).not.toMatch(/Error/);
    for (const name of ["distill", "readArtifact", "loadEncoder"])
      expect(stdout.trim().split(",")).toContain(name);
  });
});
