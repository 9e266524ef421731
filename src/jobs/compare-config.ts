import { parse } from "yaml";
import * as z from "zod";
import { type EncoderSpec, parseEncoderSpec } from "../encoder/spec.ts";
import { messageOf, UsageError } from "../errors.ts";
import { evaluationSeeds, probeNames } from "../evaluate/protocol.ts";
import { type BaselineKind, baselineKinds } from "../recipe/baseline-kinds.ts";
import { DistillConfig } from "../recipe/config.ts";
import { type PresetName, presetNames, withPreset } from "../recipe/presets.ts";

/** The name under which docs/published.json has it; figures are shown only where all names are given. */
const published = z.string().optional();
const word = z.string().min(1);

const DataEntry = z.union(
  [word.transform((data) => ({ data, published: undefined })), z.strictObject({ data: word, published })],
  { error: 'expected a data set, or an object of "data" and "published"' },
);

const EncoderEntry = z.union(
  [
    word.transform((encoder) => ({ encoder, published: undefined })),
    z.strictObject({ encoder: word, published }),
  ],
  { error: 'expected an encoder, or an object of "encoder" and "published"' },
);

/** A row of the tables: a recipe or a baseline. */
export interface MethodEntry {
  readonly name: string;
  readonly preset?: PresetName;
  readonly baseline?: BaselineKind;
  readonly of?: string;
  readonly config: Partial<DistillConfig>;
  readonly published?: string;
}

/** What is said of keys that a method does not have: settings are easily put beside "preset" instead of under "config". */
function unknownKeys(keys: readonly string[]): string {
  const quoted = (names: readonly string[]) => names.map((name) => `"${name}"`).join(", ");
  // Images per class and seeds are the whole grid's.
  const settings = keys.filter(
    (key) => Object.hasOwn(DistillConfig.shape, key) && !["ipc", "seed"].includes(key),
  );
  const hint = settings.length > 0 ? `. Under "config" go a method's settings: ${quoted(settings)}` : "";
  return `Unrecognized key${keys.length === 1 ? "" : "s"}: ${quoted(keys)}${hint}`;
}

const MethodObject = z.strictObject(
  {
    /** How tables call it; default: the preset's or baseline's name. */
    name: word.optional(),
    preset: z.enum(presetNames as [PresetName, ...PresetName[]]).optional(),
    baseline: z.enum(baselineKinds).optional(),
    /** Of the baseline neighbors: name of the method, listed before it, whose images' neighbors are taken. */
    of: word.optional(),
    /** Settings of a distillation that are not to be the preset's; checked when the grid is laid out. */
    config: z.record(z.string(), z.unknown()).default({}),
    published,
  },
  { error: (issue) => (issue.code === "unrecognized_keys" ? unknownKeys(issue.keys) : undefined) },
);
const MethodEntry = z.union(
  [
    z
      .enum(presetNames as [PresetName, ...PresetName[]])
      .transform((preset): MethodEntry => ({ name: preset, preset, config: {} })),
    z.enum(baselineKinds).transform((baseline): MethodEntry => ({ name: baseline, baseline, config: {} })),
    MethodObject.transform((method) => {
      const named = method.name ?? method.baseline ?? method.preset ?? method.config.method ?? "clp";
      return { ...method, name: String(named) } as MethodEntry;
    }),
  ],
  {
    error:
      `expected a preset (${presetNames.join(", ")}), a baseline (${baselineKinds.join(", ")}) or an object of ` +
      '"name", "preset", "baseline", "of", "config" and "published"',
  },
);

/** What `clp-dd compare` reads: a grid of methods, encoders, data sets, images per class and seeds. */
export const CompareConfig = z.strictObject({
  data: z.array(DataEntry).min(1),
  /** `NAME`, `NAME@SIZE` or `NAME@SIZE#TENSOR`. */
  encoders: z.array(EncoderEntry).min(1),
  /** Encoders that every set is evaluated on; default: the one it was made with. */
  evaluateOn: z.array(word).optional(),
  methods: z.array(MethodEntry).min(1),
  ipc: z.array(z.int().positive()).min(1).default([1]),
  seeds: z.array(z.int().nonnegative()).min(1).default([0]),
  /** Shorter edge of the real images before the crop, instead of the encoders' own. */
  resize: z.int().positive().optional(),
  evaluate: z
    .strictObject({
      probes: z
        .array(z.enum(probeNames))
        .min(1)
        .default([...probeNames]),
      epochs: z.int().positive().default(1000),
      draws: z.union([z.int().positive(), z.literal("each epoch")]).default(20),
      augmentation: z.enum(["both", "off"]).default("both"),
      /** Whether sets are measured after edits too. */
      edits: z.boolean().default(true),
      /**
       * Seeds of the heads of every set. By default those of the grid: each set's own, or 0 to 4 where the grid
       * has one.
       */
      seeds: z.array(z.int().nonnegative()).min(1).optional(),
      /** Epochs and seeds of the heads on the full data. */
      fullEpochs: z.int().positive().optional(),
      fullSeeds: z.array(z.int().nonnegative()).min(1).optional(),
    })
    .prefault({}),
});
export type CompareConfig = z.infer<typeof CompareConfig>;
/** A grid as a person writes it, with defaults left out. */
export type Grid = z.input<typeof CompareConfig>;

/** An encoder with the text that names it. */
export interface NamedEncoder extends EncoderSpec {
  readonly text: string;
}

export const namedEncoder = (text: string): NamedEncoder => ({ text, ...parseEncoderSpec(text) });

/** One place of the grid: a set of images and how it is evaluated. */
export interface Cell {
  readonly data: CompareConfig["data"][number];
  readonly encoder: { readonly encoder: NamedEncoder; readonly published?: string | undefined };
  readonly method: string;
  readonly preset?: PresetName;
  readonly baseline?: BaselineKind;
  /** The method and seed of the set whose neighbors are taken. */
  readonly of?: { readonly method: string; readonly seed: number };
  readonly published?: string | undefined;
  readonly config: DistillConfig;
  readonly ipc: number;
  readonly seed: number;
  /** Seeds of the heads. */
  readonly headSeeds: readonly number[];
}

/** Baselines that are the same for every seed. */
const seedless: readonly string[] = ["centroid", "herding", "full"];
const isSeedless = (baseline: string | undefined): boolean =>
  baseline !== undefined && seedless.includes(baseline);

/** The grid in a text, YAML or JSON (which is YAML too), unchecked. Throws UsageError where it is neither. */
export function readGrid(text: string, where: string): unknown {
  try {
    // Its warnings would be printed as they are, with the grid's text in them.
    const value: unknown = parse(text, { logLevel: "error" });
    requireOrdinaryKeys(value, where);
    return value;
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(
      `${where} is neither YAML nor JSON (${messageOf(error)}). docs/evaluation.md shows a grid.`,
      { cause: error },
    );
  }
}

/** A key called "__proto__" would be dropped, or read as what all objects inherit. */
function requireOrdinaryKeys(value: unknown, where: string): void {
  if (typeof value !== "object" || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    if (key === "__proto__")
      throw new UsageError(`${where} has a key "__proto__", which no grid has. Remove it.`);
    requireOrdinaryKeys(inner, where);
  }
}

/** Most cells of a grid: each takes a minute at least, so that more would take a week. */
const mostCells = 10_000;

/** The configuration that a value gives. Throws UsageError naming what is wrong in it, and for a grid that is too large. */
export function checkedCompareConfig(value: unknown, where: string): CompareConfig {
  const parsed = CompareConfig.safeParse(value);
  if (!parsed.success) throw new UsageError(`${where}: ${z.prettifyError(parsed.error)}`);
  const { data, encoders, methods, ipc, seeds, evaluateOn } = parsed.data;
  const lists = { data, encoders, methods, ipc, seeds };
  const cells = Object.values(lists).reduce((product, { length }) => product * length, 1);
  const evaluations = cells * Math.max(1, evaluateOn?.length ?? 1);
  if (evaluations > mostCells) {
    const sizes = Object.entries(lists).map(([name, { length }]) => `${length} ${name}`);
    throw new UsageError(
      `${where} has ${evaluations} cells (${sizes.join(" × ")}${evaluateOn ? ` × ${evaluateOn.length} evaluateOn` : ""}), more ` +
        `than ${mostCells}. Shorten a list, or split the grid into several files with one \`out\`.`,
    );
  }
  return parsed.data;
}

/** Every cell of a grid, in the order in which they are run. Throws UsageError for methods of the same name. */
export function cellsOf(grid: CompareConfig): Cell[] {
  const names = grid.methods.map((method) => method.name);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) {
    throw new UsageError(`Two methods are called "${twice}". Give each its own "name".`);
  }
  const several = grid.seeds.length > 1;
  const cells: Cell[] = [];
  for (const data of grid.data)
    for (const { encoder: text, published: known } of grid.encoders)
      for (const [k, { name, baseline, preset, of, config, published }] of grid.methods.entries()) {
        const encoder = { encoder: namedEncoder(text), published: known };
        const once = isSeedless(baseline);
        const taken = setTaken(baseline, of, grid.methods.slice(0, k), name);
        for (const ipc of baseline === "full" ? [1] : grid.ipc)
          for (const seed of once ? [grid.seeds[0]] : grid.seeds) {
            const every = several ? grid.seeds : evaluationSeeds;
            const own = baseline === "full" ? grid.evaluate.fullSeeds : undefined;
            cells.push({
              data,
              encoder,
              method: name,
              ipc,
              seed,
              ...(preset === undefined ? {} : { preset }),
              ...(baseline === undefined ? {} : { baseline }),
              ...(taken
                ? { of: { method: taken.name, seed: isSeedless(taken.baseline) ? grid.seeds[0] : seed } }
                : {}),
              published: published ?? baseline,
              config: checked({ ...withPreset(preset, config), ipc, seed }, name),
              headSeeds: own ?? grid.evaluate.seeds ?? (once || !several ? every : [seed]),
            });
          }
      }
  return cells;
}

function checked(config: Partial<DistillConfig>, name: string): DistillConfig {
  const parsed = DistillConfig.safeParse(config);
  if (parsed.success) return parsed.data;
  throw new UsageError(`The method "${name}": ${z.prettifyError(parsed.error)}`);
}

/** The method whose images' neighbors a method takes; undefined for one that takes none. */
function setTaken(
  baseline: string | undefined,
  of: string | undefined,
  before: readonly MethodEntry[],
  name: string,
): MethodEntry | undefined {
  if (baseline !== "neighbors") {
    if (of === undefined) return undefined;
    throw new UsageError(
      `The method "${name}" has "of": only the baseline neighbors takes another's images.`,
    );
  }
  const taken = before.find((method) => method.name === of);
  if (taken !== undefined && taken.baseline !== "full") return taken;
  throw new UsageError(
    `The method "${name}" takes the neighbors of ${of === undefined ? "no method" : `"${of}"`}. Expected "of": the ` +
      "name of a method with images that is listed before it.",
  );
}
