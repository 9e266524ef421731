/**
 * What users wait for beside the steps: the command's start against Node's own, a demo of one step whose features are cached,
 * and the whole demo, stage by stage.
 *
 *   node start.js [--threads 2] [--rounds 15] [--no-demo]
 *
 * Ends with one line of JSON: `Start`.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { MeasuredStage } from "../../src/memory.ts";
import { elapsed, inTurn, median } from "../lib/measure.ts";

/** One run of the demo. */
interface Demo {
  readonly seconds: number;
  readonly peakMemoryBytes: number;
  readonly stages: readonly MeasuredStage[];
}

export interface Start {
  /** Milliseconds of `node -e 0`, and of `clp-dd --version`; medians. */
  readonly nodeMs: number;
  readonly versionMs: number;
  /** The median of three demos of one step. */
  readonly oneStep: Demo;
  readonly demo?: Demo;
}

const { values: options } = parseArgs({
  options: {
    threads: { type: "string", default: "2" },
    rounds: { type: "string", default: "15" },
    "no-demo": { type: "boolean", default: false },
  },
});
const command = fileURLToPath(new URL("../../../dist/cli/main.js", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "clp-dd-start-"));
try {
  const node = (...args: string[]) => {
    const stdio: ["ignore", "pipe", "pipe"] = ["ignore", "pipe", "pipe"];
    return execFileSync(process.execPath, args, { cwd: folder, encoding: "utf8", stdio, maxBuffer: 2 ** 26 });
  };
  const rounds = Number(options.rounds);
  const starts = await inTurn(
    {
      node: () => elapsed(async () => node("-e", "0")),
      version: () => elapsed(async () => node(command, "--version")),
    },
    { least: rounds, most: rounds },
  );
  const demo = (...more: string[]): Demo => {
    const began = performance.now();
    const printed = node(
      ...[command, "demo", "--cache-dir", join(folder, "cache"), "--threads", options.threads],
      ...["--quiet", "--json", ...more],
    );
    const seconds = (performance.now() - began) / 1000;
    const { out, peakMemoryBytes } = JSON.parse(printed.trimEnd().split("\n").at(-1)!) as {
      readonly out: string;
      readonly peakMemoryBytes: number;
    };
    const manifest = JSON.parse(readFileSync(join(out, "manifest.json"), "utf8")) as Pick<Demo, "stages">;
    return { seconds, peakMemoryBytes, stages: manifest.stages };
  };
  // Fills the cache.
  demo("--steps", "1");
  const short = [1, 2, 3].map(() => demo("--steps", "1")).sort((a, b) => a.seconds - b.seconds);
  const result: Start = {
    nodeMs: median(starts.node),
    versionMs: median(starts.version),
    oneStep: short[1]!,
    ...(options["no-demo"] ? {} : { demo: demo() }),
  };
  console.log(JSON.stringify(result));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
