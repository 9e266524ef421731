/**
 * The benchmarks, one after the other, each in processes of its own; prints their tables and writes
 * docs/benchmarks.md (a run with --quick or --only writes nothing unless --out names a file).
 *
 *   npm run bench -- [--quick] [--slow] [--json] [--only SECTION] [--device cuda|webgpu] [--out FILE]
 *
 * `--json` ends with one line: {"encoderStep":{MODEL:{ratio,shareOfPeak}}, "step":{ratio,memoryRatio},
 * "solve":{ratio}}; ratios above 1 say that this project is better, null that there was no peer to compare with.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { env } from "onnxruntime-node";
import { peerPython, runPeer } from "./peer.ts";
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
  },
});
const { quick, slow, threads, device } = values;
const options: BenchOptions = { quick, slow, threads, ...(device === undefined ? {} : { device }) };
const wanted = values.only?.flatMap((ids) => ids.split(","));
const unknown = wanted?.find((id) => !sections.some((section) => section.id === id));
if (unknown !== undefined) {
  console.error(`There is no section "${unknown}". Sections: ${sections.map(({ id }) => id).join(", ")}.`);
  process.exit(2);
}

/** Seconds after which --quick stops: what is not done by then is said to be not run. */
const quickSeconds = 275;
const start = performance.now();
if (quick) stopAfter(quickSeconds);
const load = loadavg()[0]!;
const elapsedSeconds = () => (performance.now() - start) / 1000;

const head = [
  `${cpus()[0]?.model.trim()}, ${cpus().length} cores, ${(totalmem() / 2 ** 30).toFixed(0)} GiB; ${threads} threads.`,
  `Node ${process.versions.node}, ONNX Runtime ${env.versions.node ?? env.versions.common}; ${peerVersions()}.`,
  `Load average at the start: ${load.toFixed(1)}.${load > 1 ? " Other programs were using the machine: times are noisy." : ""}`,
].join("\n");
console.log(`${wrapped(head)}\n`);

// Temporary files of all processes lie in one folder, so that those of one that was stopped go too.
const scratch = mkdtempSync(join(tmpdir(), "clp-dd-bench-"));
process.env.TMPDIR = scratch;
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));

const pages: string[] = [];
const json: Record<string, unknown> = {
  encoderStep: {},
  step: { ratio: null, memoryRatio: null },
  solve: { ratio: null },
};
const files: Record<string, string> = {};
for (const { id, title, about, run } of sections) {
  let report: Report;
  const began = performance.now();
  if (wanted !== undefined && !wanted.includes(id)) continue;
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
  console.log(`${title}\n${"=".repeat(title.length)}\n${wrapped(about)}\n\n${report.text}(${seconds} s)\n`);
  const pictures = Object.keys(report.files ?? {}).map((name) => `\n![${title}](${name})\n`);
  pages.push(
    `## ${title}\n\n${wrapped(about, 110)}\n\n\`\`\`\n${report.text.trimEnd()}\n\`\`\`\n${pictures.join("")}`,
  );
}

const out = values.out ?? (quick || wanted !== undefined ? undefined : "docs/benchmarks.md");
if (out !== undefined) {
  const command = `npm run bench${quick ? " -- --quick" : slow ? " -- --slow" : ""}`;
  const page = `# Benchmarks\n\nWritten by \`${command}\`: every number is of one run, both sides in turn, medians; ratios above 1 mean that this\nproject is better. The peers are installed by \`bench/peers/setup\`.\n\n${head}\n`;
  mkdirSync(dirname(out), { recursive: true });
  writeFileSync(out, `${page}\n${pages.join("\n")}`);
  for (const [name, content] of Object.entries(files)) writeFileSync(join(dirname(out), name), content);
  console.log(`Written to ${out}; ${(elapsedSeconds() / 60).toFixed(1)} minutes.`);
}
if (values.json) console.log(JSON.stringify(json));

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
