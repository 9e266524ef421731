/**
 * The benchmarks, one after the other, each in separate processes; prints their tables and writes
 * docs/benchmarks.md (a run with --quick or --only writes nothing unless --out names a file). With --only, what the
 * page has of other sections is left as it is.
 *
 *   npm run bench -- [--quick] [--slow] [--json] [--only SECTION[,SECTION]] [--device cuda,webgpu] [--out FILE]
 *                    [--seconds N] [--batches 1,8,32] [--equal-seconds 300] [--peer-seconds 600]
 *
 * `--seconds`: after which it stops; what is not done by then is said to be not run.
 * `--batches`: of the encoder step, where not --quick.
 * `--equal-seconds`: what LGM has for each of its schedules in "Time to equal accuracy"; `--peer-seconds`: after which
 * a probe of scikit-learn is stopped.
 * `--json` ends with one line: {"encoderStep":{MODEL:{ratio,shareOfPeak}}, "step":{ratio,memoryRatio},
 * "solve":{ratio}, "equalAccuracy":{JUDGE:ratio}}; ratios above 1 say that this project is better, null that there was no peer to compare with.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { env } from "../../src/onnx-vjp/runtime/binding.ts";
import { peerPython, runPeer } from "../lib/peer.ts";
import { type Block, headText, machineOf, provenanceText, splicedPage } from "./page.ts";
import { type BenchOptions, failure, type Report, stopAfter, wrapped } from "./section.ts";
import { sections } from "./sections.ts";

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    slow: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    only: { type: "string", multiple: true },
    device: { type: "string" },
    threads: { type: "string", default: "2" },
    out: { type: "string" },
    seconds: { type: "string" },
    batches: { type: "string", default: "1,8,32" },
    "equal-seconds": { type: "string", default: "300" },
    "peer-seconds": { type: "string", default: "600" },
  },
});
const { quick, slow, threads, device } = values;
const options: BenchOptions = {
  quick,
  slow,
  threads,
  batches: values.batches,
  equalSeconds: Number(values["equal-seconds"]),
  peerSeconds: Number(values["peer-seconds"]),
  ...(device === undefined ? {} : { device }),
};
const wanted = values.only?.flatMap((ids) => ids.split(","));
const unknown = wanted?.find((id) => !sections.some((section) => section.id === id));
if (unknown !== undefined) {
  console.error(`There is no section "${unknown}". Sections: ${sections.map(({ id }) => id).join(", ")}.`);
  process.exit(2);
}

/** Seconds after which --quick stops: what is not done by then is said to be not run. */
const quickSeconds = 275;
const start = performance.now();
if (quick || values.seconds !== undefined) stopAfter(Number(values.seconds ?? quickSeconds));
const elapsedSeconds = () => (performance.now() - start) / 1000;

const machine = [
  `${cpus()[0]?.model.trim()}, ${cpus().length} cores, ${(totalmem() / 2 ** 30).toFixed(0)} GiB; ${threads} threads.`,
  `Node ${process.versions.node}, ONNX Runtime ${env.versions.node ?? env.versions.common}; ${peerVersions()}.`,
].join("\n");
console.log(`${wrapped(machine)}\n`);
const out = values.out ?? (quick || wanted !== undefined ? undefined : "docs/benchmarks.md");
/** A page whose other sections stay. */
const before =
  out !== undefined && wanted !== undefined && existsSync(out) ? readFileSync(out, "utf8") : undefined;

// Temporary files of all processes are in one folder, so that those of one that was stopped go too.
const scratch = mkdtempSync(join(tmpdir(), "clp-dd-bench-"));
process.env.TMPDIR = scratch;
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));

const blocks: Block[] = [];
const json: Record<string, unknown> = {
  encoderStep: {},
  step: { ratio: null, memoryRatio: null },
  solve: { ratio: null },
};
const files: Record<string, string> = {};
for (const { id, title, about, run } of sections) {
  let report: Report;
  if (wanted !== undefined && !wanted.includes(id)) continue;
  const provenance = provenanceOf();
  const began = performance.now();
  process.stderr.write(`${title} …\n`);
  try {
    const found = run(options);
    report = {
      ...found,
      text: found.text
        .split("\n")
        .map(broken)
        .join("\n")
        .replace(/^\n+/, "")
        .replace(/\n{3,}/g, "\n\n"),
    };
  } catch (error) {
    report = { text: `${wrapped(`Not run: ${failure(error)}.`)}\n` };
  }
  Object.assign(json, report.json);
  Object.assign(files, report.files);
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  console.log(
    `${title}\n${"=".repeat(title.length)}\n${wrapped(`${about}\n\n${provenance}`)}\n\n${report.text}(${seconds} s)\n`,
  );
  blocks.push({ title, about, provenance, text: report.text, pictures: Object.keys(report.files ?? {}) });
}

if (out !== undefined) {
  const order = sections.map(({ title }) => title);
  mkdirSync(dirname(out), { recursive: true });
  writeFileSync(out, splicedPage(before ?? headText(machine), blocks, order));
  for (const [name, content] of Object.entries(files)) writeFileSync(join(dirname(out), name), content);
  console.log(`Written to ${out}.`);
}
console.log(`${(elapsedSeconds() / 60).toFixed(1)} minutes.`);
if (values.json) console.log(JSON.stringify(json));

/** What a section's numbers are of, measured before it begins. */
function provenanceOf(): string {
  const own = process.argv.slice(2).filter((arg) => arg !== "--json");
  const at = own.indexOf("--out");
  if (at >= 0) own.splice(at, 2);
  const one = machine.split("\n").join(" ");
  return provenanceText({
    command: ["npm run bench", ...(own.length > 0 ? ["--"] : []), ...own].join(" "),
    date: new Date().toISOString().slice(0, 10),
    load: loadavg()[0],
    busyCores: busyCores(),
    cores: cpus().length,
    ...(before !== undefined && machineOf(before) !== one ? { machine: one } : {}),
  });
}

/** Cores that other programs keep busy, over a second in which this one waits. */
function busyCores(): number {
  const read = () => {
    const times = cpus().map((cpu) => cpu.times);
    const all = times.reduce((sum, t) => sum + t.user + t.nice + t.sys + t.idle + t.irq, 0);
    return { all, idle: times.reduce((sum, t) => sum + t.idle, 0) };
  };
  const first = read();
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
  const last = read();
  return cpus().length * (1 - (last.idle - first.idle) / Math.max(1, last.all - first.all));
}

/** Sentences are broken into lines; rows of tables fit, and are left. */
function broken(line: string): string {
  return /\S {2,}\S/.test(line) ? line : wrapped(line);
}

function peerVersions(): string {
  if (peerPython() === undefined) return "no Python peers installed";
  try {
    return runPeer("versions.py", []).trim();
  } catch (error) {
    return `Python peers that do not run (${failure(error)})`;
  }
}
