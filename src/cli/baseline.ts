import { Argument, type Command } from "commander";
import { baselineKinds } from "../engine/params.ts";
import { commonOptions, encoderOptions, integer, positive } from "./options.ts";
import { given, makeSet } from "./result.ts";
import { type EncoderOptions, encoderParams } from "./run.ts";

interface BaselineOptions extends EncoderOptions {
  readonly out: string;
  readonly of?: string;
  readonly ipc?: number;
  readonly seed?: number;
  readonly normalize?: string;
  readonly lambda?: number;
  readonly overwrite?: boolean;
  readonly baselines: boolean;
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
    .option("--normalize <map>", "feature map of the closed-form probe (default: that of distill)")
    .option(
      "--lambda <x>",
      "ridge strength relative to tr(K)/m (default: that of distill; full chooses its own)",
      positive,
    )
    .option("--overwrite", "replace a set that lies at --out")
    .option("--no-baselines", "do not measure full data, centroid and random images beside it");
  commonOptions(encoderOptions(command));
  command.action(async (kind: string, data: string, options: BaselineOptions) => {
    const { ipc, seed, normalize, lambda } = options;
    await makeSet(
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
      },
      options,
    );
  });
}
