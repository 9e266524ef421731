import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { youngGenerationFlag } from "../../src/helpers/process.ts";

const folder = fileURLToPath(new URL("../../../bench/peers/", import.meta.url));

/** The folder of the peers, a virtual environment of Python: bench/peers/.venv, or what CLP_DD_PEERS names. */
function environment(): string {
  return process.env.CLP_DD_PEERS ?? `${folder}.venv`;
}

/** The Python that has the peers, or undefined where bench/peers/setup was not run. */
export function peerPython(): string | undefined {
  const python = `${environment()}/bin/python`;
  return existsSync(python) ? python : undefined;
}

/** The node_modules folder that has the JavaScript peers, or undefined where bench/peers/setup was not run. */
export function webPeers(): string | undefined {
  const modules = `${environment()}/js/node_modules`;
  return existsSync(`${modules}/@jax-js/jax`) ? modules : undefined;
}

/** Runs one of bench/peers' scripts to its end and gives its standard output. */
export function runPeer(script: string, args: readonly string[]): string {
  return execFileSync(peerPython()!, [`${folder}${script}`, ...args], {
    encoding: "utf8",
    env: peerEnvironment(),
    stdio: ["ignore", "pipe", "pipe"],
    maxBuffer: 2 ** 26,
  });
}

/**
 * A model of bench/peers/models.py as an ONNX file, exported when it is first asked for and kept beside the packages:
 * its weights are the same at every export.
 */
export function exportedModel(name: string, size: number): string {
  const script = readFileSync(`${folder}models.py`);
  const version = createHash("sha256").update(script).digest("hex").slice(0, 8);
  const models = `${environment()}/models`;
  const file = `${models}/${name}-${size}-${version}.onnx`;
  if (existsSync(file)) return file;
  mkdirSync(models, { recursive: true });
  const begun = `${file}.${process.pid}`;
  runPeer("models.py", [name, String(size), begun]);
  renameSync(begun, file);
  return file;
}

/** What torch.compile makes is kept beside the packages: the first run of a model pays for it, later ones do not. */
function peerEnvironment(): NodeJS.ProcessEnv {
  return {
    ...process.env,
    TORCHINDUCTOR_CACHE_DIR: process.env.TORCHINDUCTOR_CACHE_DIR ?? `${environment()}/inductor`,
    PYTHONWARNINGS: "ignore",
    PYTHONDONTWRITEBYTECODE: "1",
  };
}

const running = new Set<ChildProcessWithoutNullStreams>();

/** Stopped from outside, in the middle of a question: without this the answers would be computed for nobody. */
function stopAll(): never {
  for (const child of running) child.kill("SIGKILL");
  process.exit(143);
}

/** A process that answers questions, one line of JSON each (bench/peers/protocol.py, bench/runs/own-step.ts). */
export class Peer {
  private readonly child: ChildProcessWithoutNullStreams;
  private readonly lines: AsyncIterator<string>;
  private errors = "";

  private constructor(command: string, args: readonly string[], env: NodeJS.ProcessEnv) {
    this.child = spawn(command, args, { env });
    this.child.stderr.on("data", (data) => {
      this.errors = (this.errors + String(data)).slice(-4000);
    });
    if (running.size === 0) process.on("SIGTERM", stopAll);
    running.add(this.child);
    // A question to a process that is gone: its end is told by `ask`.
    this.child.stdin.on("error", () => {});
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
  }

  /** One of bench/peers' scripts. */
  static python(script: string): Peer {
    return new Peer(peerPython()!, [`${folder}${script}`], peerEnvironment());
  }

  /** One of bench/peers/js' libraries in a browser; `modules` is the node_modules folder that has it. */
  static browser(library: string, modules: string): Peer {
    return new Peer(process.execPath, [`${folder}js/serve.js`, library, modules], process.env);
  }

  /** One of this folder's scripts. */
  static own(script: string, args: readonly string[]): Peer {
    const file = fileURLToPath(new URL(`../runs/${script}`, import.meta.url));
    return new Peer(process.execPath, [youngGenerationFlag, file, ...args], process.env);
  }

  /** Calls the handler `call` with `args`. Throws with the process's message where it failed. */
  async ask<T>(call: string, args: object = {}): Promise<T> {
    this.child.stdin.write(`${JSON.stringify({ call, args })}\n`);
    const line = await this.lines.next();
    if (line.done)
      throw new Error(`the process ended: ${this.errors.trim().split("\n").at(-1) || "no message"}`);
    const answer = JSON.parse(line.value) as { result?: T; error?: string };
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer.result as T;
  }

  /** Lets the process go; it ends with its input. */
  async end(): Promise<void> {
    running.delete(this.child);
    if (running.size === 0) process.off("SIGTERM", stopAll);
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = new Promise((resolve) => this.child.once("close", resolve));
    this.child.stdin.end();
    await gone;
  }
}
