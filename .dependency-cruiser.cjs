/**
 * The layers of the source and of the benchmarks, from bottom to top. An import runs downward or stays within its layer; types count.
 * ARCHITECTURE.md says what each of them holds.
 */
const layers = [
  "src/onnx-vjp/(errors|read-exactly)\\.ts",
  "src/onnx-vjp/graph/",
  "src/onnx-vjp/prepare/",
  "src/onnx-vjp/vjp/",
  "src/onnx-vjp/fit/",
  "src/onnx-vjp/compile/",
  "src/onnx-vjp/runtime/",
  "src/onnx-vjp/[^/]+$",
  "src/(errors|serialized-error|format|printable|random|version|context|memory)\\.ts",
  "src/files/",
  "src/helpers/",
  "src/probe/",
  "src/synthetic/",
  "src/objective/",
  "src/select/",
  "src/images/",
  "src/recipe/",
  "src/data/",
  "src/encoder/",
  "src/features/",
  "src/artifact/",
  "src/export/",
  "src/explain/",
  "src/evaluate/",
  "src/distill/",
  "src/machines/",
  "src/jobs/[^/]+$",
  "src/browser/",
  "src/jobs/worker/",
  "src/api/",
  "src/index.ts",
  "src/cli/",
  "bench/lib/",
  "bench/runs/",
  "bench/pages/",
];

/** The pattern of everything in layer `index` that no lower layer has taken. */
const only = (index) => ({ path: `^${layers[index]}`, pathNot: layers.slice(0, index).map((layer) => `^${layer}`) });

const upward = layers.slice(0, -1).map((layer, index) => ({
  name: `nothing above ${layer}`,
  comment: "An import runs downward: move what both need to the lower layer, or pass it in.",
  severity: "error",
  from: only(index),
  to: { path: layers.slice(index + 1).map((above) => `^${above}`), pathNot: layers.slice(0, index + 1).map((below) => `^${below}`) },
}));

module.exports = {
  forbidden: [
    ...upward,
    {
      name: "no circles",
      comment: "Files that import each other cannot be read one after the other.",
      severity: "error",
      from: {},
      to: { circular: true },
    },
    {
      name: "transformers are read without the loader",
      comment: "src/encoder/load chooses among the formats, of which src/encoder/vit is one.",
      severity: "error",
      from: { path: "^src/encoder/vit/" },
      to: { path: "^src/encoder/load/" },
    },
    {
      name: "data sets are opened at one place",
      comment: "src/data holds what its data sets build on; src/data/open-data-set.ts alone knows them.",
      severity: "error",
      from: { path: "^src/data/[^/]+$", pathNot: "/open-data-set\\.ts$" },
      to: { path: "^src/data/sets/" },
    },
    {
      name: "every file has a layer",
      severity: "error",
      from: { path: "^(src|bench)/", pathNot: ["^bench/peers/", ...layers.map((layer) => `^${layer}`)] },
      to: {},
    },
  ],
  options: {
    // The parser that sees imports of types too, whatever version of TypeScript is installed.
    parser: "swc",
    tsPreCompilationDeps: true,
    doNotFollow: { path: "node_modules" },
  },
};
