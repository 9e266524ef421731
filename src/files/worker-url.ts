import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/**
 * The compiled file of a worker thread or child process, for `new Worker` and `fork`, which run JavaScript alone.
 * From compiled code it is the neighbor; from the sources (tests run those) it is the file in `dist/` that the
 * source compiles to, which must have been built.
 *
 * @param metaUrl the caller's `import.meta.url`
 * @param relative the worker's source relative to the caller, such as "./decode-worker.ts"
 * @throws Error when the project has not been built
 */
export function workerUrl(metaUrl: string, relative: string): URL {
  const source = new URL(relative, metaUrl).href;
  const script = source.replace(/\.ts$/, ".js");
  const compiled = new URL(
    metaUrl.endsWith(".ts") ? script.replace(/\/src\/(?!.*\/src\/)/, "/dist/") : script,
  );
  if (!existsSync(fileURLToPath(compiled))) {
    throw new Error(`${fileURLToPath(compiled)} is not there. Build the project first: npm run build`);
  }
  return compiled;
}
