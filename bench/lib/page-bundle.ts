import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build, defaultClientConditions } from "vite";

/** The clone's folder: this file is in bench/lib, or in what `npm run bench:build` makes of it. */
export const cloneFolder: string = ["../../", "../../../"]
  .map((relative) => fileURLToPath(new URL(relative, import.meta.url)))
  .find((folder) => existsSync(`${folder}package.json`))!;

/** ONNX Runtime's files for browsers. */
export const ortFolder = `${cloneFolder}node_modules/onnxruntime-web/dist`;

/** Bundles a source of this clone into one script that a page imports: `page.js` in `outDir`. */
export async function bundleForPage(source: string, outDir: string): Promise<void> {
  await build({
    configFile: false,
    root: cloneFolder,
    logLevel: "error",
    resolve: { conditions: ["onnxruntime-web-use-extern-wasm", ...defaultClientConditions] },
    build: {
      ...{ outDir, minify: false, target: "es2022" },
      lib: { entry: `${cloneFolder}${source}`, formats: ["es"], fileName: () => "page.js" },
    },
  });
}
