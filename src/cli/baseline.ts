import { Argument, type Command, InvalidArgumentError } from "commander";
import { listed } from "../data/image-source.ts";
import { UsageError } from "../errors.ts";
import { normalizations } from "../probe/feature-map.ts";
import { type BaselineKind, baselineKinds } from "../recipe/baseline-kinds.ts";
import { DistillConfig } from "../recipe/config.ts";
import {
  addCommonOptions,
  addOptions,
  dataForms,
  type EncoderOptions,
  encoderNames,
  ownOption,
  type Values,
} from "./options.ts";
import { commandLine, reportSet } from "./result.ts";
import { encoderParams, runJob } from "./run.ts";
import { addSomeSettings, givenSettings } from "./setting-options.ts";

type BaselineOptions = EncoderOptions &
  Values<"out" | "overwrite" | "baselines" | "edits"> & { readonly of?: string };

/** The kinds that an option means something to, where that is not all of them. */
const meantFor: { readonly [option in "of" | "ipc" | "seed" | "lambda"]: readonly BaselineKind[] } = {
  of: ["neighbors"],
  ipc: baselineKinds.filter((kind) => kind !== "full"),
  seed: ["random", "kmeans"],
  lambda: baselineKinds.filter((kind) => kind !== "full"),
};

/** Throws UsageError for an option that changes nothing about a baseline of that kind. */
function requireMeaning(
  kind: BaselineKind,
  given: Partial<DistillConfig> & { of?: string | undefined },
): void {
  for (const [option, kinds] of Object.entries(meantFor)) {
    if (given[option as keyof typeof meantFor] === undefined || kinds.includes(kind)) continue;
    throw new UsageError(
      `--${option} means nothing to the baseline ${kind}, only to ${listed(kinds)}. Leave it out.`,
    );
  }
}

export function addBaseline(command: Command): void {
  command
    .usage("<kind> <dir> --out <folder> [options]")
    .description(
      "Chooses --ipc real images per class and leaves the same folder as a distillation:\n" +
        "  random     at random (see --seed)\n" +
        "  centroid   nearest to the mean feature of their class\n" +
        "  neighbors  nearest to the images of a distilled set (--of)\n" +
        "  kmeans     nearest to the k-means centers of their class, k = ipc\n" +
        "  herding    by herding, as iCaRL draws exemplars\n" +
        "  full       none: the closed-form probe of all training images",
    )
    .addArgument(new Argument("<kind>", "how images are chosen").choices(baselineKinds))
    .argument("<dir>", dataForms)
    .addOption(
      ownOption("--of <folder>", "the distilled set whose neighbors are taken (neighbors)", "Images:"),
    );
  addSomeSettings(command, {
    ipc: "images per class",
    seed: "seed of random and kmeans",
    lambda: "ridge strength relative to tr(K)/m; full chooses its own",
  });
  command.addOption(
    ownOption("--normalize <map>", "feature map of the closed-form probe", "Objective:")
      .choices(normalizations)
      .argParser((text) => {
        const map = normalizations.find((known) => known === text);
        if (map === undefined) {
          throw new InvalidArgumentError(`Allowed choices are ${normalizations.join(", ")}.`);
        }
        return [map];
      })
      .default(undefined, DistillConfig.shape.normalize.parse(undefined)[0]),
  );
  addOptions(command, encoderNames);
  addOptions(command, ["out", "overwrite", "baselines", "edits"], {
    out: { required: true },
    overwrite: { text: "replace the set that is at --out" },
  });
  addCommonOptions(command);
  command.action(async (kind: BaselineKind, data: string, options: BaselineOptions) => {
    const config = givenSettings(command);
    requireMeaning(kind, { ...config, of: options.of });
    const summary = await runJob(
      "baseline",
      {
        ...encoderParams(options),
        kind,
        data,
        of: options.of,
        config,
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
