import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { csv } from "../../src/cli/csv.ts";
import { imageFiles } from "../../src/cli/given-files.ts";
import { sortFiles } from "../../src/cli/sort-files.ts";
import { type DataFolder, dataFolder } from "../support/data-folder.ts";

let data: DataFolder;
beforeEach(async () => {
  data = await dataFolder();
});
afterEach(() => data.remove());

describe("files that arguments name", () => {
  const named = async (...given: string[]) => {
    const { files, empty } = await imageFiles(given.map((name) => join(data.path, name)));
    return { files: files.map((file) => relative(data.path, file)), empty };
  };

  it("are those of folders and patterns in natural order, and each once", async () => {
    await data.files(["a/10.jpg", "a/9.jpg", "a/deep/1.png", "a/notes.txt", "b.jpg"]);
    const inFolder = ["a/9.jpg", "a/10.jpg", "a/deep/1.png"];
    expect((await named("a", "b.jpg", "a/9.jpg")).files).toEqual([...inFolder, "b.jpg"]);
    expect((await named("a/**/*.{jpg,png}")).files.sort()).toEqual([...inFolder].sort());
    expect((await named("a/?.jpg")).files).toEqual(["a/9.jpg"]);
  });

  it("may have names that look like patterns", async () => {
    await data.files(["[1].jpg"]);
    expect((await named("[1].jpg")).files).toEqual(["[1].jpg"]);
  });

  it("that are not there are kept, to be reported; folders and patterns without images are named", async () => {
    await mkdir(join(data.path, "void"));
    const { files, empty } = await named("missing.jpg", "void", "*.webp");
    expect(files).toEqual(["missing.jpg"]);
    expect(empty.join("\n")).toMatch(/void holds no images\.\n.*\*\.webp matches no files\./);
  });

  it("are read from a list on standard input", async () => {
    const list = (text: string) => Readable.from([text]) as unknown as NodeJS.ReadableStream;
    expect((await imageFiles(["-"], list("a.jpg\r\nb c.jpg\n\n"))).files).toEqual(["a.jpg", "b c.jpg"]);
    expect((await imageFiles([], list("a.jpg\n"))).files).toEqual(["a.jpg"]);
  });
});

describe("sorting files into class folders", () => {
  it.each(["move", "copy"] as const)("by %s never overwrites a file", async (how) => {
    await data.files({ "x/a.jpg": "first", "y/a.jpg": "second", "out/cat/a.jpg": "kept" });
    const files = ["x/a.jpg", "y/a.jpg"].map((name) => ({ file: join(data.path, name), folder: "cat" }));
    const out = join(data.path, "out");
    const places = await sortFiles(files, out, how);
    expect(places).toEqual(["a (2).jpg", "a (3).jpg"].map((name) => join(out, "cat", name)));
    const contents = await Promise.all(
      ["a.jpg", ...["a (2).jpg", "a (3).jpg"]].map((name) => readFile(join(out, "cat", name), "utf8")),
    );
    expect(contents).toEqual(["kept", "first", "second"]);
    expect(await readdir(join(data.path, "x"))).toEqual(how === "move" ? [] : ["a.jpg"]);
  });

  it("leaves a file that is in its folder already", async () => {
    await writeFile(join(data.path, "loose.jpg"), "");
    await data.files({ "out/cat/a.jpg": "own" });
    const file = join(data.path, "out/cat/a.jpg");
    expect(await sortFiles([{ file, folder: "cat" }], join(data.path, "out"), "move")).toEqual([file]);
    expect(await readFile(file, "utf8")).toBe("own");
  });
});

it("comma-separated values are quoted where they must be", () => {
  expect(
    csv([
      ["a", 'b "c"', "d,e"],
      [1, undefined, true],
    ]),
  ).toBe('a,"b ""c""","d,e"\n1,,true\n');
});
