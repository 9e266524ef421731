import { Argument, type Command, Option } from "commander";
import { listed } from "../data/source.ts";
import { UsageError } from "../errors.ts";
import { normalizations } from "../probe/feature-map.ts";
import { type BaselineKind, baselineKinds } from "../recipe/baseline-kinds.ts";
import { commonOptions, editsOptions, encoderOptions, integer, positive } from "./options.ts";
import { commandLine, given, reportSet } from "./result.ts";
import { type EncoderOptions, encoderParams, runJob } from "./run.ts";

interface BaselineOptions extends EncoderOptions {
  readonly out: string;
  readonly of?: string;
  readonly ipc?: number;
  readonly seed?: number;
  readonly normalize?: string;
  readonly lambda?: number;
  readonly overwrite?: boolean;
  readonly baselines: boolean;
  readonly edits: boolean;
}

/** The kinds that an option means something to, where that is not all of them. */
const meantFor: { readonly [option in "of" | "ipc" | "seed" | "lambda"]: readonly BaselineKind[] } = {
  of: ["neighbors"],
  ipc: baselineKinds.filter((kind) => kind !== "full"),
  seed: ["random", "kmeans"],
  lambda: baselineKinds.filter((kind) => kind !== "full"),
};

/** Throws UsageError for an option that changes nothing about a baseline of that kind. */
function requireMeaning(kind: BaselineKind, options: BaselineOptions): void {
  for (const [option, kinds] of Object.entries(meantFor)) {
    if (options[option as keyof typeof meantFor] === undefined || kinds.includes(kind)) continue;
    throw new UsageError(
      `--${option} means nothing to the baseline ${kind}, only to ${listed(kinds)}. Leave it out.`,
    );
  }
}

export function addBaseline(program: Command): void {
  const command = program
    .command("baseline")
    .summary("choose real images to compare distilled ones with")
    .description(
      "Chooses --ipc real images per class and leaves the same folder as a distillation:\n" +
        "  random     at random (see --seed)\n" +
        "  centroid   nearest to the mean feature of their class\n" +
        "  neighbors  nearest to the images of a distilled set (--of)\n" +
        "  kmeans     nearest to the k-means centres of their class, k = ipc\n" +
        "  herding    by herding, as iCaRL draws exemplars\n" +
        "  full       none: the closed-form probe of all training images",
    )
    .addArgument(new Argument("<kind>", "how images are chosen").choices(baselineKinds))
    .argument("<dir>", "folder of images, NAME:PATH (see `clp-dd datasets`), or an embedded set")
    .requiredOption("--out <folder>", "where the result goes; must be empty or not exist")
    .option("--of <folder>", "the distilled set whose neighbours are taken (neighbors)")
    .option("--ipc <n>", "images per class (default: 1)", integer(1))
    .option("--seed <n>", "seed of random and kmeans (default: 0)", integer(0))
    .addOption(
      new Option(
        "--normalize <map>",
        "feature map of the closed-form probe (default: that of distill)",
      ).choices(normalizations),
    )
    .option(
      "--lambda <x>",
      "ridge strength relative to tr(K)/m (default: that of distill; full chooses its own)",
      positive,
    )
    .option("--overwrite", "replace a set that lies at --out")
    .option("--no-baselines", "do not measure full data, centroid and random images beside it");
  editsOptions(command);
  commonOptions(encoderOptions(command));
  command.action(async (kind: BaselineKind, data: string, options: BaselineOptions) => {
    requireMeaning(kind, options);
    const { ipc, seed, normalize, lambda } = options;
    const summary = await runJob(
      "baseline",
      {
        ...encoderParams(options),
        kind,
        data,
        of: options.of,
        config: given({ ipc, seed, lambda, normalize: normalize === undefined ? undefined : [normalize] }),
        out: options.out,
        overwrite: options.overwrite,
        baselines: options.baselines,
        edits: options.edits,
        command: commandLine(),
      },
      options,
    );
    reportSet(summary, options);
  });
}
