import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { fileURLToPath } from "node:url";
import { defaultClientConditions, defineConfig, type Plugin } from "vite";

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const ortFolder = path("../node_modules/onnxruntime-web/dist/");
/** ONNX Runtime for WebAssembly on the CPU. */
const cpuFiles = ["ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"];
/** The same with WebGPU: fetched when a distillation begins on a device that has it, and kept from then on. */
const gpuFiles = ["ort-wasm-simd-threaded.jspi.mjs", "ort-wasm-simd-threaded.jspi.wasm"];
const ortFiles = [...cpuFiles, ...gpuFiles];
/** A set to try, which tools/package.mjs made. */
const readyFolder = path("../node_modules/.cache/clp-dd/ready/");
const readyFiles = ["emoji.json", "emoji.webp", "LICENSE.txt"];
/** Beside the page, where `clp-dd app` serves the package's own. */
const modelFiles = ["efficientnet-lite0.onnx", "efficientnet-lite0.json"];
const modelFolder = path("../models/");

/** Native packages, which no browser loads. */
const native = ["sharp", "onnxruntime-node"];

/** Fails the build where a module of Node's reaches the page or the library's entry for browsers. */
const nothingOfNode = (): Plugin => ({
  name: "nothing of Node",
  enforce: "pre",
  resolveId(source, importer) {
    if (!isBuiltin(source) && !native.includes(source)) return null;
    throw new Error(
      `${importer ?? "The page"} imports ${source}, which browsers do not have. Split what needs it into a file of its own.`,
    );
  },
});

/** Adds ONNX Runtime's files, the licenses of all that is bundled, and the service worker with the list of all files. */
function assets(): Plugin {
  const bundled = new Set<string>(["onnxruntime-web"]);
  return {
    name: "assets",
    apply: "build",
    generateBundle(_, bundle) {
      for (const name of ortFiles) {
        this.emitFile({
          type: "asset",
          fileName: `ort/${name}`,
          source: readFileSync(`${ortFolder}${name}`),
        });
      }
      for (const name of readyFiles) {
        this.emitFile({
          type: "asset",
          fileName: `ready/${name}`,
          source: readFileSync(`${readyFolder}${name}`),
        });
      }
      for (const id of this.getModuleIds()) {
        const name = /node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*node_modules)/.exec(id)?.[1];
        if (name) bundled.add(name);
      }
      this.emitFile({
        type: "asset",
        fileName: "LICENSES.txt",
        source: licensesOf([...workerPackages, ...bundled]),
      });
      const ownFiles = [
        ...Object.keys(bundle).filter((name) => !gpuFiles.includes(name.slice("ort/".length))),
        ...cpuFiles.map((name) => `ort/${name}`),
        ...readyFiles.map((name) => `ready/${name}`),
        ...readdirSync(path("public")),
      ];
      const files = [
        ...new Set([...ownFiles, "index.html", "hub.html", ...modelFiles.map((name) => `models/${name}`)]),
      ].filter((name) => !name.endsWith(".map") && name !== "sw.js" && name !== "LICENSES.txt");
      const hash = createHash("sha256").update(JSON.stringify(files));
      for (const item of Object.values(bundle)) hash.update(item.type === "chunk" ? item.code : item.source);
      for (const name of modelFiles) hash.update(readFileSync(`${modelFolder}${name}`));
      for (const name of readdirSync(path("public"))) hash.update(readFileSync(path(`public/${name}`)));
      const source = readFileSync(path("sw.js"), "utf8")
        .replace('"__VERSION__"', JSON.stringify(hash.digest("hex").slice(0, 16)))
        .replace(
          "const files = __FILES__;",
          `const files = ${JSON.stringify(files.sort().map((name) => `./${name}`))};`,
        );
      this.emitFile({ type: "asset", fileName: "sw.js", source });
    },
  };
}

/** The hub of names of encoders, and the hosts that it sends large files from. */
const hubUrl = "https://huggingface.co";
const hubHosts = `${hubUrl} https://*.huggingface.co https://*.hf.co`;

/** The page again, with a policy that allows connections to the hub: nobody gets it without asking for it. */
const hubPage = (): Plugin => ({
  name: "page for the hub",
  apply: "build",
  writeBundle({ dir }) {
    const page = readFileSync(`${dir}/index.html`, "utf8");
    const policy = "connect-src 'self';";
    if (!page.includes(policy)) throw new Error("index.html states no connect-src to widen.");
    writeFileSync(
      `${dir}/hub.html`,
      page
        .replace(policy, `connect-src 'self' ${hubHosts};`)
        .replace("</head>", `<meta name="hub" content="${hubUrl}" />\n  </head>`),
    );
  },
});

/** Packages in the worker's bundle, which is built by itself. */
const workerPackages = new Set<string>();
const workerLicenses = (): Plugin => ({
  name: "packages of the worker",
  generateBundle() {
    for (const id of this.getModuleIds()) {
      const name = /node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*node_modules)/.exec(id)?.[1];
      if (name) workerPackages.add(name);
    }
  },
});

function licensesOf(packages: readonly string[]): string {
  return [...new Set(packages)]
    .sort()
    .map((name) => {
      const folder = path(`../node_modules/${name}/`);
      const { version, license } = JSON.parse(readFileSync(`${folder}package.json`, "utf8"));
      const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
      const text =
        file === undefined ? "(its package has no license file)" : readFileSync(folder + file, "utf8").trim();
      return `${name} ${version}: ${license}\n\n${text}\n`;
    })
    .join(`\n${"-".repeat(80)}\n\n`);
}

/** While developing: the files that the build copies. */
const served = (): Plugin => ({
  name: "served files",
  configureServer(server) {
    server.middlewares.use((request, response, next) => {
      const [, folder, name] = /\/(ort|models|ready)\/([\w.-]+)(?:\?.*)?$/.exec(request.url ?? "") ?? [];
      if (folder === undefined || ![...ortFiles, ...modelFiles, ...readyFiles].includes(name!)) return next();
      const types: Record<string, string> = {
        mjs: "text/javascript",
        wasm: "application/wasm",
        json: "application/json",
      };
      response.setHeader("Content-Type", types[name!.split(".").at(-1)!] ?? "application/octet-stream");
      response.setHeader("Cross-Origin-Resource-Policy", "same-origin");
      response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
      response.end(
        readFileSync(({ ort: ortFolder, models: modelFolder, ready: readyFolder }[folder] ?? "") + name),
      );
    });
  },
});

const isolation = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

export default defineConfig({
  root: path("."),
  base: "./",
  plugins: [nothingOfNode(), served(), assets(), hubPage()],
  worker: {
    format: "es",
    plugins: () => [nothingOfNode(), workerLicenses()],
    rolldownOptions: { checks: { pluginTimings: false } },
  },
  // ONNX Runtime's own loader is a file beside the page: its threads are workers that start from it.
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", ...defaultClientConditions] },
  server: { headers: isolation, fs: { allow: [path("..")] } },
  optimizeDeps: { exclude: ["onnxruntime-web"] },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: path("../dist/app"),
    emptyOutDir: true,
    target: "es2022",
    sourcemap: false,
    modulePreload: { polyfill: false },
    // A machine that is busy is no fault of the build's.
    rolldownOptions: { checks: { pluginTimings: false } },
  },
});
