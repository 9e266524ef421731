import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { makeFolder, requireWritableFile, unwritten } from "../../src/cli/output-file.ts";
import { UsageError } from "../../src/errors.ts";

let home: string;
const at = (name: string) => join(home, name);
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "clp-dd-output-"));
  await writeFile(at("file"), "");
});
afterAll(() => rm(home, { recursive: true, force: true }));

it("takes a file that is there or can be, and makes a folder that is not", async () => {
  await requireWritableFile("--html", at("file"));
  await requireWritableFile("--html", at("page.html"));
  await makeFolder("--out", at("deep/out"));
  await requireWritableFile("--html", at("deep/out/page.html"));
});

it("says before the work why a file cannot be written, or a folder made", async () => {
  const refused = async (work: Promise<void>, message: RegExp) => {
    await expect(work).rejects.toThrow(UsageError);
    await expect(work).rejects.toThrow(message);
  };
  await refused(requireWritableFile("--html", at("none/page.html")), /--html .*no folder .*none\. Give/);
  await refused(requireWritableFile("--html", at("file/page.html")), /file is a file/);
  await refused(requireWritableFile("--html", home), /it is a folder/);
  await refused(makeFolder("--out", at("file")), /--out .*there is a file of that name/);
  await refused(makeFolder("--out", at("file/out")), /a part of the path is a file/);
});

it("names the files that could not be written, and writes the others", async () => {
  const [bad, good] = [at("none/page.html"), at("table.md")];
  expect(await unwritten({ [bad]: writeFile(bad, "a"), [good]: writeFile(good, "b") })).toEqual([
    `${bad} could not be written: its folder is not there.`,
  ]);
  await requireWritableFile("--markdown", good);
});
