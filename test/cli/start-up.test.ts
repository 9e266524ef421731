import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { clpdd } from "../support/command.ts";

/** The packages whose files a command loads: V8 writes its scripts down where it is asked for coverage. */
async function packagesOf(args: readonly string[]): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), "clp-dd-start-up-"));
  try {
    const { code } = await clpdd(args, { env: { NODE_V8_COVERAGE: folder } });
    expect(code).toBe(0);
    const found = new Set<string>();
    for (const file of await readdir(folder)) {
      const { result } = JSON.parse(await readFile(join(folder, file), "utf8")) as {
        result: { url: string }[];
      };
      for (const { url } of result) {
        const name = /.*\/node_modules\/((@[^/]+\/)?[^/]+)\//.exec(url)?.[1];
        if (name !== undefined) found.add(name);
      }
    }
    return [...found];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

it.each([["--version"], ["--help"]])(
  "%s loads no package but commander",
  { timeout: 60_000 },
  async (option) => {
    expect(await packagesOf([option])).toEqual(["commander"]);
  },
);

it("the program's help lists every command with its summary", { timeout: 60_000 }, async () => {
  const { stdout } = await clpdd(["--help"]);
  const commands = "demo distill baseline evaluate compare features datasets encoders inspect profile";
  for (const name of commands.split(" ")) expect(stdout).toMatch(new RegExp(`^  ${name} {2,}\\S`, "m"));
});
