import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";

const built = new URL("../../dist/helpers/process.js", import.meta.url).href;

// A library's user has nothing else that keeps the program alive.
it("a program that waits at its top level for a helper to end runs to its last line", async () => {
  const program = `
    import { startHelper } from ${JSON.stringify(built)};
    const helper = startHelper();
    await helper.request("no such service", {}).catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 50));
    await helper.end();
    console.log("the last line");
  `;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", program], {
    cwd: fileURLToPath(new URL("../..", import.meta.url)),
    timeout: 20_000,
  });
  expect(stdout).toBe("the last line\n");
});
