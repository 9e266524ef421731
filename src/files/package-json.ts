import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type * as z from "zod";
import { DataError, messageOf } from "../errors.ts";

const { resolve } = createRequire(import.meta.url);

/**
 * The JSON file `specifier` (`package/path.json`) of an installed package, checked against `schema`.
 * Throws DataError when the package is not installed or the file is not as expected.
 */
export async function readPackageJson<T>(specifier: string, schema: z.ZodType<T>): Promise<T> {
  try {
    return schema.parse(JSON.parse(await readFile(resolve(specifier), "utf8")));
  } catch (cause) {
    throw new DataError(
      `the file ${specifier} of the installed packages cannot be read: ${messageOf(cause)}. ` +
        "Install the packages again with `npm ci`.",
      { cause },
    );
  }
}
