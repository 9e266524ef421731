/**
 * The comparisons behind docs/results.md, as grids that `clp-dd compare` runs too; resumable cell by cell.
 *
 *   npm run results                         every section (hours), each into its place in docs/results.md when it is done
 *   npm run results -- --only emoji,encoders   these sections
 *   npm run results -- --page               nothing: writes the page and the README from the figures that they have
 *   npm run results -- --quick --json       minutes: the 8-class emoji set, one line of JSON at the end
 *
 * Options: --seeds N or emoji=5,encoders=2 (5 where nothing is said), --steps N (of every distillation that says
 * nothing else), --epochs N (of the heads), --full-epochs N (of the heads on all training features; 100, one seed),
 * --skip A,B (sections to leave out), --threads N, --encoders A@128,B@128 (for the section across encoders), --fashion-mnist DIR,
 * --out FOLDER (of the cells; by default one in the cache folder for each state of the code).
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { availableParallelism, cpus, loadavg } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { ProbeName } from "../../src/evaluate/protocol.ts";
import { markdownTable, type Table } from "../../src/evaluate/tables.ts";
import { userCache } from "../../src/files/cache-location.ts";
import { formatSeconds } from "../../src/format.ts";
import { type CellResult, runComparison } from "../../src/jobs/compare.ts";
import {
  comparisonRows,
  comparisonTables,
  type ProbeOutcome,
  Published,
  type Row,
} from "../../src/jobs/compare-tables.ts";
import type { DistillConfig } from "../../src/recipe/config.ts";
import { settings } from "../lib/settings.ts";
import { usageOf } from "../lib/usage.ts";
import { spliced } from "./page.ts";
import { resultsSummary, withResults } from "./results-summary.ts";

const { values: options } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    page: { type: "boolean", default: false },
    seeds: { type: "string" },
    epochs: { type: "string" },
    "full-epochs": { type: "string", default: "100" },
    skip: { type: "string", default: "" },
    threads: { type: "string" },
    steps: { type: "string" },
    only: { type: "string" },
    encoders: { type: "string", default: "" },
    "fashion-mnist": { type: "string" },
    out: { type: "string" },
    help: { type: "boolean", default: false },
  },
});
if (options.help) {
  process.stdout.write(usageOf(import.meta.url));
  process.exit();
}

/** Heads on the full data are trained for fewer epochs than on eight images, and once: they have far more steps. */
const full = { fullEpochs: Number(options["full-epochs"]), fullSeeds: [0] };
const quickDraws = 10;

const embedded = "efficientnet-lite0@128";
const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);

/** Seeds of a section: those asked for by its name, else for all, else five. */
function seedsOf(section: string): number[] {
  const entries = (options.seeds ?? "").split(",").map((entry) => entry.split("="));
  const own = entries.find(([name, count]) => name === section && count !== undefined)?.[1];
  const all = entries.find(([count, none]) => count !== "" && none === undefined)?.[0];
  return numbers(Number(own ?? all ?? 5));
}

const { steps } = options;
const withSteps = (config: Partial<DistillConfig>): Partial<DistillConfig> =>
  steps === undefined ? config : { steps: Number(steps), ...config };

interface Method {
  readonly name: string;
  readonly preset: string;
  readonly config: Partial<DistillConfig>;
}
const recipe = (preset: string, config: Partial<DistillConfig> = {}, name = preset): Method => ({
  name,
  preset,
  config: withSteps(config),
});

const objectives = ["clp", "clp-mse", "lgm", "sfm"];
const baselines = ["random", "centroid", "kmeans", "herding", { baseline: "neighbors", of: "clp" }, "full"];
/** Fewer epochs than LGM's 1,000 are for trying the script out. */
const epochs = options.epochs === undefined ? {} : { epochs: Number(options.epochs) };
const common = { encoders: [embedded], resize: 128, evaluate: { ...epochs, ...full } };

/** A grid, or several whose rows belong into the same tables. */
interface Section {
  readonly name: string;
  readonly title: string;
  readonly text: string;
  readonly grids: readonly Record<string, unknown>[];
}

interface MainOptions {
  /** Beside the methods and baselines, with as many seeds. */
  readonly beside?: readonly Method[];
  /** The same with one seed: settings take as long as the methods do. */
  readonly variants?: readonly Method[];
  /** Of every distillation, where the default's are too long. */
  readonly steps?: number;
}

/** Every method and baseline. */
const main = (
  name: string,
  title: string,
  data: string,
  { beside = [], variants = [], steps }: MainOptions = {},
): Section => {
  const seeds = seedsOf(name);
  const own = steps === undefined ? {} : { steps };
  return {
    name,
    title,
    text:
      "Every method with the project's recipe, clp and lgm also with augmentation while distilling (one draw per step), and the " +
      "real-image baselines. `+aug` in a column: the probe was trained on flipped and cropped draws of the images." +
      (variants.length > 0 && seeds.length > 1
        ? ` ${variants.map((v) => v.name).join("; ")}: one seed.`
        : "") +
      (steps === undefined ? "" : ` ${steps} steps, where a row says nothing else.`),
    grids: [
      {
        ...common,
        seeds,
        data: [data],
        methods: [
          ...objectives.map((name) => recipe(name, own)),
          ...(steps === undefined ? [recipe("long"), recipe("exact")] : []),
          ...["clp", "lgm"].map((name) => augmented(name, own)),
          ...beside,
          ...baselines,
        ],
      },
      { ...common, seeds: seeds.slice(0, 1), data: [data], methods: variants },
    ].filter(({ methods }) => methods.length > 0),
  };
};

const augmented = (name: string, config: Partial<DistillConfig> = {}, draws = 1) =>
  recipe(name, { ...config, augment: draws }, `${name}, ${draws} draw${draws === 1 ? "" : "s"} a step`);
/** What the tables of settings speak for with many classes. */
const strongerRidge = (config: Partial<DistillConfig> = {}) =>
  recipe("clp", { lambda: 3, ...config }, "clp, λ 3");
/** As many steps as LGM's authors take. */
const longest = recipe("clp", { steps: 5000, tau: 0.05 }, "clp, 5,000 steps, τ 0.05");
const variants: readonly Method[] = [
  recipe(
    "clp",
    { normalize: ["center-l2"], anchors: "raw", tau: 0.025 },
    "clp, center-l2 alone, raw anchors",
  ),
  recipe("clp", { targets: 0 }, "clp, no target features"),
  strongerRidge(),
  recipe("clp", { steps: 1500 }, "clp, 1,500 steps"),
  recipe("clp", { steps: 3000 }, "clp, 3,000 steps"),
  longest,
  recipe("lgm", { steps: 1500 }, "lgm, 1,500 steps"),
  recipe("sfm", { steps: 1500 }, "sfm, 1,500 steps"),
  recipe("clp", { init: "centroid" }, "clp, from the images nearest to the class means"),
  recipe("lgm", { normalize: ["none"] }, "lgm, raw features"),
  augmented("clp", {}, 3),
  augmented("lgm", {}, 3),
];

const fashion = options["fashion-mnist"];
const others = options.encoders.split(",").filter((name) => name !== "");

/** Outer objective × feature map, beside the settings that are changed one at a time. */
const crossed: Method[] = [
  { objective: "CE", config: { anchors: "raw" as const } },
  { objective: "CE, cosine anchors", config: { anchors: "cosine" as const } },
  { objective: "MSE", config: { method: "clp-mse" as const } },
].flatMap(({ objective, config }) =>
  (["none", "l2", "center-l2", "standardize-l2"] as const).map((map) =>
    recipe("clp", { ...config, normalize: [map], targets: 0 }, `${objective}; ${map}`),
  ),
);

/** An experiment is of some forty distillations a seed: smaller images and fewer steps make that an affordable number. */
const experimentSize = 64;
const experimentSteps = 300;
const small = { ...common, encoders: [`efficientnet-lite0@${experimentSize}`], resize: experimentSize };

/** What is changed of the default where a set's distillations are too long for every setting. */
const fewSettings = settings.filter(({ name }) =>
  [
    "default",
    "no target features",
    "λ 0.1",
    "λ 3",
    "λ 10",
    "τ 0.05",
    "τ 0.1",
    "constant learning rate",
    "one augmented draw",
  ].includes(name),
);

const experiment = (
  name: string,
  what: string,
  data: string,
  { changed = fewSettings, steps = experimentSteps } = {},
): Section => ({
  name: `experiment-${name}`,
  title: `What the method stands on: ${what}`,
  text:
    `Outer objective × feature map (without target features), then one setting of the default at a time; at ${experimentSize} px and with ` +
    `${steps} steps, where a row says nothing else. The scale of the labels has no row: scaling ` +
    "them by s scales W by s, which is a temperature τ/s.",
  grids: [
    {
      ...small,
      seeds: seedsOf(`experiment-${name}`),
      data: [data],
      methods: [
        ...[...crossed, ...changed.map(({ name, config }) => recipe("clp", config, name))].map((method) => ({
          ...method,
          config: { steps, ...method.config },
        })),
        ...["random", "full"],
      ],
      evaluate: { ...common.evaluate, augmentation: "off" },
    },
  ],
});

const acrossEncoders: Section = {
  name: "encoders",
  title: "Across encoders",
  text: "Distilled with the embedded encoder, evaluated on others, whose probes are trained anew on the same pixels.",
  grids: [
    {
      ...common,
      seeds: seedsOf("encoders"),
      data: ["emoji"],
      evaluateOn: [embedded, ...others],
      methods: [
        recipe("clp"),
        augmented("clp"),
        recipe("clp", { parametrization: "pixels" }, "clp, pixels instead of the pyramid"),
        recipe("clp", { parametrization: "pixels", augment: 1 }, "clp, pixels, 1 draw a step"),
        recipe("clp", { augment: 1, augmentation: "lgm" }, "clp, 1 draw with noise per step"),
        augmented("lgm"),
        ...["random", "centroid", "full"],
      ],
    },
  ],
};

/** These recipes take a hundred times as many images through the encoder as the default: small ones. */
const publishedRecipe: Section = {
  name: "published-recipe",
  title: "LGM and SFM by their own recipes",
  text:
    `The 8 emoji groups at ${experimentSize} px: the published recipes (10 augmented draws per step, 5,000 steps) beside the ` +
    "project's, and beside as many steps of it. `+aug` in a column: the probe was trained on flipped and cropped draws of the images.",
  grids: [
    {
      ...small,
      seeds: seedsOf("published-recipe"),
      data: ["emoji"],
      methods: [
        recipe("lgm-paper"),
        recipe("sfm-paper"),
        augmented("lgm"),
        recipe("clp"),
        recipe("long"),
        recipe("exact"),
        longest,
        augmented("clp"),
        ...["random", "centroid", "full"],
      ],
    },
  ],
};

/** 56 classes are far from learnt after the 200 steps that are affordable at the encoder's own size. */
const moreSteps: Section = {
  name: "steps-emoji-subgroups",
  title: "What steps do with 56 subgroups",
  text: `The default recipe at ${experimentSize} px, where long runs are affordable.`,
  grids: [
    {
      ...small,
      seeds: seedsOf("steps-emoji-subgroups"),
      data: ["emoji-subgroups"],
      methods: [
        ...[200, 500, 1500].map((steps) => recipe("clp", { steps }, `clp, ${steps} steps`)),
        recipe("clp", { steps: 1500, tau: 0.05 }, "clp, 1500 steps, τ 0.05"),
        ...["random", "full"],
      ],
      evaluate: { ...common.evaluate, augmentation: "off" },
    },
  ],
};

const fashionSet = `fashion-mnist:${fashion}`;
/** In the page's order. */
const sections: readonly (Section & { readonly needs?: string })[] = [
  main("emoji", "Emoji, 8 Unicode groups", "emoji", { variants }),
  main("emoji-subgroups", "Emoji, 56 Unicode subgroups", "emoji-subgroups", {
    steps: 200,
    beside: [strongerRidge({ steps: 200 }), recipe("clp", {}, "clp, 500 steps (the default)")],
    variants: [recipe("exact"), recipe("long", {}, "long, 1,500 steps")],
  }),
  {
    ...main("fashion-mnist", "Fashion-MNIST", fashionSet, { variants: [strongerRidge()] }),
    ...(fashion === undefined ? { needs: "--fashion-mnist DIR" } : {}),
  },
  { ...acrossEncoders, ...(others.length === 0 ? { needs: "--encoders A@128,B@128" } : {}) },
  moreSteps,
  publishedRecipe,
  experiment("emoji", "8 emoji groups", "emoji", { changed: [...settings] }),
  experiment("emoji-subgroups", "56 emoji subgroups", "emoji-subgroups", { steps: 200 }),
  {
    ...experiment("fashion-mnist", "Fashion-MNIST", fashionSet),
    ...(fashion === undefined ? { needs: "--fashion-mnist DIR" } : {}),
  },
];

/** One distillation of each objective; heads and random images over five seeds. */
const quick: Section = {
  name: "quick",
  title: "Quick comparison",
  text: "",
  grids: [
    {
      ...common,
      data: ["emoji"],
      seeds: [0],
      methods: [...objectives.map((name) => recipe(name)), "centroid", "full"],
      evaluate: { ...common.evaluate, draws: quickDraws, seeds: seedsOf("quick") },
    },
    {
      ...common,
      data: ["emoji"],
      seeds: seedsOf("quick"),
      methods: ["random"],
      evaluate: { ...common.evaluate, draws: quickDraws },
    },
  ],
};

const controller = new AbortController();
process.once("SIGINT", () => controller.abort());
const cacheFolder = userCache();

async function cellsOf({ grids }: Section, out: string): Promise<CellResult[]> {
  const cells: CellResult[] = [];
  for (const config of grids) {
    const { cells: done, failures } = await runComparison(
      {
        config,
        out,
        cacheFolder,
        maxBad: 0,
        ...(options.threads ? { threads: Number(options.threads) } : {}),
      },
      {
        signal: controller.signal,
        progress() {},
        note: (text) => {
          if (text.startsWith("[") || text.startsWith("Failed")) console.error(text);
        },
      },
    );
    if (failures.length > 0) process.exitCode = 1;
    cells.push(...done);
  }
  return cells;
}

/** A separate folder for each state of the compiled code: no figure outlives the code that made it. */
async function ownFolder(): Promise<string> {
  const root = fileURLToPath(new URL("../../src", import.meta.url));
  const files = (await readdir(root, { recursive: true })).filter((name) => name.endsWith(".js")).sort();
  const hash = createHash("sha256");
  for (const name of files) hash.update(name).update(await readFile(join(root, name)));
  return join(cacheFolder, `results-${hash.digest("hex").slice(0, 12)}`);
}

/** The rows as `--json` prints them: {clp: {closedForm: {mean, std}, head, tunedHead, augmented: {…}}, …}. */
function jsonOf(rows: readonly Row[]) {
  const keys: Readonly<Record<ProbeName, string>> = {
    "closed-form": "closedForm",
    head: "head",
    "tuned-head": "tunedHead",
  };
  const figures = (outcomes: readonly ProbeOutcome[]) =>
    Object.fromEntries(outcomes.map(({ probe, top1 }) => [keys[probe], { mean: top1.mean, std: top1.std }]));
  return Object.fromEntries(
    rows.map(({ method, outcomes }) => {
      const augmented = outcomes.filter((o) => o.augmented);
      return [
        method,
        {
          ...figures(outcomes.filter((o) => !o.augmented)),
          ...(augmented.length > 0 ? { augmented: figures(augmented) } : {}),
        },
      ];
    }),
  );
}

const publishedTitle = "Published figures";

const began = performance.now();
const load = loadavg()[0];
const out = options.out ?? (await ownFolder());
await mkdir(out, { recursive: true });
const published = Published.parse(JSON.parse(await readFile("docs/published.json", "utf8")));

if (options.page) {
  await writePage(new Map());
} else if (options.quick) {
  // A quick run measures anew what it prints.
  if (options.out === undefined) await rm(join(out, "cells"), { recursive: true, force: true });
  const rows = comparisonRows(await cellsOf(quick, out));
  for (const table of comparisonTables(rows)) console.log(markdownTable(table));
  console.error(`${formatSeconds((performance.now() - began) / 1000)} in all`);
  if (options.json) console.log(JSON.stringify(jsonOf(rows)));
} else {
  const skipped = options.skip.split(",");
  const only = options.only?.split(",");
  const unknown = only?.find((name) => !sections.some((section) => section.name === name));
  if (unknown !== undefined) {
    throw new Error(`There is no section ${unknown}; --only takes ${sections.map((s) => s.name).join(", ")}`);
  }
  const wanted = sections.filter(({ name, needs }) => {
    if (only === undefined) return needs === undefined && !skipped.includes(name);
    if (needs !== undefined && only.includes(name)) throw new Error(`--only ${name} needs ${needs}`);
    return only.includes(name);
  });
  const json: Record<string, readonly Row[]> = {};
  for (const section of wanted) {
    const rows = comparisonRows(await cellsOf(section, out), published);
    json[section.name] = rows;
    await writePage(new Map([[section.title, partOf(section, comparisonTables(rows, published))]]));
  }
  if (options.json) console.log(JSON.stringify(json));
}

function partOf({ name, title, text }: Section, tables: readonly Table[]): string {
  const count = seedsOf(name).length;
  const provenance =
    `\`${commandOf(name)}\`, ${new Date().toISOString().slice(0, 10)}; ${availableParallelism()} cores ` +
    `(${cpus()[0]?.model.trim()}), Node ${process.version}; load at the start ${load.toFixed(1)}.`;
  return `## ${title}\n${text} ${count === 1 ? "One seed" : `${count} seeds`}.\n\n${provenance}\n\n${tables.map(markdownTable).join("\n")}`;
}

/** The command that makes one section; a folder's place on this machine means nothing elsewhere. */
function commandOf(section: string): string {
  const given = process.argv.slice(2);
  for (const name of ["--only", "--skip", "--out"]) {
    const at = given.indexOf(name);
    if (at >= 0) given.splice(at, 2);
  }
  const shown = given.map((text) => text.split(",").map((part) => basename(part)));
  return ["npm run results -- --only", section, ...shown.map((parts) => parts.join(","))].join(" ");
}

/** Puts sections into their places on the page, under a new beginning, and their figures into the README. */
async function writePage(parts: ReadonlyMap<string, string>): Promise<void> {
  const path = "docs/results.md";
  const about = `The probe, closed form or gradient-trained, learns from one image per class; top-1 on real test images in percent,
mean ± standard deviation over seeds. Sections of 2026-11-27 are of the recipe that is now the preset \`exact\`: there
\`clp\` is that recipe, \`clp-long\` has three times its steps. \`clp-mse\`, \`lgm\` and \`sfm\` are other objectives with the same recipe; \`herding\` and \`random\` choose real images. On the 56
subgroups \`clp\`, \`clp-mse\`, \`lgm\` and \`sfm\` had 200 steps; what the default's 500 give is beside. How to read the tables, and
what they do not say: [notes/results.md](notes/results.md).

Written by \`npm run results\` (\`bench/pages/results.ts\`), section by section; under each title is the command that its
figures were measured by, or they are in columns marked as published. Test images are never looked at while distilling,
and never for the choice of a learning rate or λ. Sets have hard labels and, where nothing else is said, the default number
of steps and the embedded encoder at 128 px. Closed form: the feature map and λ that the set was distilled with. LGM head:
linear on raw features, w std 0.01, Adam 1e-3 · batch/256, cosine, 1,000 epochs (on all training features: \`--full-epochs\`,
100 where a command does not say it). Tuned head: its learning rate is chosen on real training features among .001, .005,
.01, .05, .1. Heads are trained with 5 seeds on each set, or with a set's own seed where the seed changes the set; on all
training features once. Full data has the closed form of the default's first feature map.
`;
  const texts = new Map([
    ...parts,
    [
      publishedTitle,
      `## ${publishedTitle}\nNot measured here. ${published.note} Source: ${published.source}.\n\n${publishedTable()}`,
    ],
  ]);
  const order = [...sections.map(({ title }) => title), publishedTitle];
  const sectionsAlone = spliced("", existsSync(path) ? await readFile(path, "utf8") : "", texts, order);
  const summary = resultsSummary(sectionsAlone, ["closed form", "LGM head", "tuned head"]);
  const page = spliced(`# Results\n\n${summary}\n\n${about}`, sectionsAlone, new Map(), order);
  await writeFile(path, page);
  await writeFile("README.md", withResults(await readFile("README.md", "utf8"), page));
}

function publishedTable(): string {
  const encoders = [...new Set(published.figures.map((f) => f.encoder))];
  const rows = [...new Set(published.figures.map((f) => `${f.data}\0${f.method}`))].map((key) => {
    const [data, method] = key.split("\0");
    const figure = (encoder: string) =>
      published.figures.find((f) => f.data === data && f.method === method && f.encoder === encoder);
    return `| ${data} | ${method} | ${encoders.map((e) => figure(e)?.top1.toFixed(1) ?? "–").join(" | ")} |`;
  });
  return [
    `| data | method | ${encoders.map((e) => `${e} (published)`).join(" | ")} |`,
    `|---|---|${encoders.map(() => "---|").join("")}`,
    ...rows,
  ].join("\n");
}
