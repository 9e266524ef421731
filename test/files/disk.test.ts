import { existsSync } from "node:fs";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeFolders } from "../../src/files/disk.ts";

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "clp-dd-disk-"));
});
afterAll(() => rm(home, { recursive: true, force: true }));

describe("makeFolders", () => {
  it("makes a folder and those above it, and lets those be that are there", async () => {
    const folder = join(home, "a/b/c");
    await makeFolders(folder);
    await makeFolders(folder);
    expect(existsSync(folder)).toBe(true);
    await makeFolders("/");
  });

  it("takes a link to a folder for one", async () => {
    await symlink(home, join(home, "link"));
    await makeFolders(join(home, "link/inside"));
    expect(existsSync(join(home, "inside"))).toBe(true);
  });

  it("refuses a file, a path through a file, and a link to nowhere", async () => {
    await writeFile(join(home, "file"), "");
    await symlink(join(home, "nowhere"), join(home, "dangling"));
    await expect(makeFolders(join(home, "file"))).rejects.toMatchObject({ code: "EEXIST" });
    await expect(makeFolders(join(home, "file/below"))).rejects.toMatchObject({ code: "ENOTDIR" });
    await expect(makeFolders(join(home, "dangling"))).rejects.toMatchObject({ code: "EEXIST" });
  });

  it.runIf(process.platform === "linux")("ends where a file system makes no folders", async () => {
    await expect(makeFolders("/proc/x")).rejects.toThrow("no folder can be made in /proc");
    await expect(makeFolders("/proc/x/y/z")).rejects.toThrow("no folder can be made in /proc");
  });
});
