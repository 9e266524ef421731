import { type ChildProcess, execFile, execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { lstat, mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readArtifact } from "../../src/artifact/read-artifact.ts";
import { type Graph, type Node, standardNode } from "../../src/onnx-vjp/graph/ir.ts";
import { writeOnnx } from "../../src/onnx-vjp/graph/write-onnx.ts";
import { clpdd, type Outcome } from "../support/command.ts";
import { makePhotos } from "../support/photos.ts";
import { smallGraph } from "../support/small-encoder.ts";

const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const faults = fileURLToPath(new URL("../fixtures/faults", import.meta.url));
const linux = existsSync("/proc/self/limits");

let home: string;
const at = (name: string) => join(home, name);
let common: string[];

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "clp-dd-surroundings-"));
  const photos = await makePhotos(at("photos"), 3);
  await rename(join(photos, "red"), join(photos, "red\u001b[31m\u0007|<b>"));
  await writeFile(at("model.onnx"), writeOnnx(smallGraph()).model);
  common = [
    photos,
    "--encoder",
    at("model.onnx"),
    "--cache-dir",
    at("cache"),
    "--no-baselines",
    "--no-edits",
  ];
});
afterAll(() => rm(home, { recursive: true, force: true }));

const distil = (out: string, ...more: string[]) => [
  "distill",
  ...common,
  "--steps",
  "4",
  "--out",
  out,
  ...more,
];

/** Runs the command line by a shell, with `after` behind it and `before` in front. */
function inShell(args: readonly string[], { before = "", after = "" }): Promise<Outcome> {
  const quoted = [process.execPath, main, ...args].map((text) => `'${text.replaceAll("'", "'\\''")}'`);
  return new Promise((done) => {
    execFile("bash", ["-c", `${before}${quoted.join(" ")}${after}`], (error, stdout, stderr) => {
      done({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr });
    });
  });
}

describe.skipIf(!linux)("what is said cannot be written", () => {
  it("and the work is done all the same, behind a full disk", async () => {
    const { code } = await inShell(distil(at("full")), { after: " 2> /dev/full" });
    expect(code).toBe(0);
    await readArtifact(at("full"));
  });

  it("and the work is done all the same, behind a reader that has seen enough", async () => {
    const after = `; echo $? > ${at("code")}) 2>&1 | head -1`;
    await inShell(distil(at("head")), { before: "(", after });
    expect(readFileSync(at("code"), "utf8").trim()).toBe("0");
    await readArtifact(at("head"));
  });

  it("and lost results end in an error", async () => {
    const { code, stderr } = await inShell(["datasets"], { after: " > /dev/full" });
    expect(stderr).toMatch(/Standard output could not be written/);
    expect(code).toBe(1);
  });
});

it("a hang-up saves, as a termination does", async () => {
  const started = (child: ChildProcess) => {
    child.stderr!.on("data", (data) => {
      if (String(data).includes("synthetic images")) child.kill("SIGHUP");
    });
  };
  const { code, stderr } = await clpdd(distil(at("hung"), "--steps", "100000"), { started });
  expect(stderr).toMatch(/Saved\. Resume .*--resume/);
  expect(code).toBe(130);
});

it.skipIf(!linux).each([64, 128])("%d open files are too few, and the message says so", async (limit) => {
  const { code, stderr } = await inShell(distil(at(`few-${limit}`)), { before: `ulimit -n ${limit}; ` });
  expect(stderr).toMatch(/ulimit -n 1024/);
  expect(stderr).not.toMatch(/defect/);
  expect(code).toBe(1);
});

describe("--out as a link", () => {
  it("to a folder puts the set there, and replaces it there", async () => {
    await mkdir(at("real"));
    await symlink(at("real"), at("link"));
    expect((await clpdd(distil(at("link")))).code).toBe(0);
    expect((await clpdd(distil(at("link"), "--overwrite"))).code).toBe(0);
    expect((await lstat(at("link"))).isSymbolicLink()).toBe(true);
    await readArtifact(at("real"));
  });

  it("that leads nowhere is refused", async () => {
    await symlink(at("nowhere"), at("dangling"));
    const { code, stderr } = await clpdd(distil(at("dangling")));
    expect(stderr).toMatch(/is a link to a folder that is not there/);
    expect(code).toBe(1);
  });
});

describe("a disk", () => {
  /** A disk of 64 KiB of which `free` KiB are free, or undefined where none can be mounted. */
  function smallDisk(name: string, free: number): string | undefined {
    try {
      execFileSync("mkdir", ["-p", at(name)]);
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", at(name)], { stdio: "ignore" });
    } catch {
      return undefined;
    }
    execFileSync("dd", ["if=/dev/zero", `of=${at(name)}/fill`, "bs=1k", `count=${64 - free}`], {
      stdio: "ignore",
    });
    return at(name);
  }

  it("that fills before the first checkpoint leaves nothing to resume, and the message says that", async (context) => {
    const disk = smallDisk("small", 4);
    if (disk === undefined) return context.skip();
    try {
      const { code, stderr } = await clpdd(distil(join(disk, "out")));
      expect(stderr).toMatch(/The disk is full.*same command again; it starts anew/s);
      expect(stderr).not.toMatch(/resume/);
      expect(code).toBe(1);
      execFileSync("mount", ["-o", "remount,ro", disk]);
      const readOnly = await clpdd(distil(join(disk, "out")));
      expect(readOnly.stderr).toMatch(/the disk is read-only/);
    } finally {
      execFileSync("umount", [disk]);
    }
  });
});

describe("text from outside", () => {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
  const obeyed = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/;

  it("reaches no page and no terminal with what they would obey: names of classes", async () => {
    expect((await clpdd(distil(at("set")))).code).toBe(0);
    const pages = ["--markdown", at("page.md"), "--html", at("page.html")];
    const data = ["--data", common[0]!, "--encoder", at("model.onnx"), "--cache-dir", at("cache")];
    const quick = ["--probes", "closed-form", "--no-edits"];
    const { code, stdout, stderr } = await clpdd([
      "evaluate",
      at("set"),
      ...data,
      ...quick,
      ...pages,
      "--json",
    ]);
    expect(code).toBe(0);
    const written = ["set/report.html", "set/README.md", "page.md", "page.html"].map((name) =>
      readFileSync(at(name), "utf8"),
    );
    for (const text of [stdout, stderr, ...written]) {
      expect(text).not.toMatch(obeyed);
      expect(text).not.toContain("<b>");
    }
    expect(written[3]).toContain("red\\x1b[31m\\x07|&lt;b&gt;");
  });

  it.each([
    [
      ["distill", "photos", "--out", "out", "--steps", "\u001b[31mred\u0007"],
      /'\\x1b\[31mred\\x07' is invalid/,
    ],
    [["distill", "photos", "--\u001b[31mred"], /unknown option '--\\x1b\[31mred'/],
    [["\u001b[31mred"], /unknown command '\\x1b\[31mred'/],
    [["distill", "photos", "--out", ""], /Expected a path; it is empty/],
  ])("reaches no terminal with what it would obey: arguments that are wrong, %j", async (args, message) => {
    const { code, stderr } = await clpdd(args);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(obeyed);
    expect(code).toBe(2);
  });

  it("reaches no terminal with what it would obey: names of operators", async () => {
    const { code, stderr } = await clpdd(["inspect", join(faults, "onnx/op-named-mREDmpwned.onnx")]);
    expect(stderr).toContain("\\x1b[31mRED");
    expect(stderr).not.toMatch(obeyed);
    expect(code).toBe(1);
  });
});

describe("a model", () => {
  it("that never returns is left at the second interrupt, within a second", async () => {
    await writeFile(at("endless.onnx"), writeOnnx(endless()).model);
    let second = Number.POSITIVE_INFINITY;
    const { code, stderr } = await clpdd(["inspect", at("endless.onnx")], {
      started: (child) => {
        setTimeout(() => child.kill("SIGINT"), 4000);
        child.stderr!.once("data", () => {
          second = performance.now();
          child.kill("SIGINT");
        });
      },
    });
    expect(performance.now() - second).toBeLessThan(1000);
    expect(stderr).toMatch(/once the model returns/);
    expect(code).toBe(130);
  });

  it.skipIf(!linux)("that is a pipe is refused instead of waited for", async () => {
    execFileSync("mkfifo", [at("pipe.onnx")]);
    const { code, stderr } = await clpdd(["inspect", at("pipe.onnx")]);
    expect(stderr).toMatch(/pipe\.onnx cannot be read \(it is a pipe/);
    expect(code).toBe(1);
  });

  it("is not run by more threads than a machine has use for", async () => {
    const { code, stderr } = await clpdd(distil(at("threads"), "--threads", "1000000"));
    expect(stderr).toMatch(/--threads 1000000 was given. Expected a whole number from 1 to \d+/);
    expect(code).toBe(2);
  });

  it("is not given images of more pixels than there are", async () => {
    const { code, stderr } = await clpdd(distil(at("size"), "--size", "100000"));
    expect(stderr).toMatch(/--size 100000 was given. Expected .* 1 to 16384/);
    expect(code).toBe(2);
  });
});

/** The small network behind a loop that ends when a number that only grows is negative. */
function endless(): Graph {
  return smallGraph({
    between: (b, map) => {
      const scalar = (name: string, dtype: "int64" | "bool" | "float32") => ({ name, dtype, dims: [] });
      const value = { name: "state", dtype: "float32" as const, dims: [], ranked: false as const };
      const nodes: Node[] = [
        standardNode("Abs", ["state"], "grown"),
        standardNode("ReduceMax", ["grown"], "most"),
        standardNode("Neg", ["most"], "least"),
        standardNode("LessOrEqual", ["least", "zero"], "more"),
      ];
      nodes[1] = { ...nodes[1]!, attributes: { keepdims: { kind: "int", value: 0 } } };
      const body: Graph = {
        name: "body",
        opset: b.graph.opset,
        inputs: [scalar("iteration", "int64"), scalar("condition", "bool"), value],
        outputs: [scalar("more", "bool"), { ...value, name: "grown" }],
        nodes,
        constants: new Map([["zero", { dtype: "float32", dims: [], bytes: new Uint8Array(4) }]]),
      };
      b.graph.constants.set("yes", { dtype: "bool", dims: [], bytes: Uint8Array.of(1) });
      b.graph.nodes.push(
        standardNode("Loop", ["", "yes", map], "looped", { body: { kind: "graph", value: body } }),
      );
      return "looped";
    },
  });
}
