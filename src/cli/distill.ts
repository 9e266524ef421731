import { type Command, Option } from "commander";
import { normalizations } from "../probe/feature-map.ts";

import type { DistillConfig } from "../recipe/config.ts";
import { presetNames } from "../recipe/presets.ts";
import { augmentationNames } from "../synthetic/augment.ts";
import {
  atLeastZero,
  commonOptions,
  editsOptions,
  encoderOptions,
  fraction,
  integer,
  listOf,
  positive,
} from "./options.ts";

import { commandLine, given, reportSet } from "./result.ts";
import { type EncoderOptions, encoderParams, runJob } from "./run.ts";

interface DistillOptions extends EncoderOptions {
  readonly out: string;
  readonly preset?: string;
  readonly method?: DistillConfig["method"];
  readonly loss?: "ce" | "mse";
  readonly ipc?: number;
  readonly steps?: number;
  readonly lr?: number;
  readonly lambda?: number;
  readonly tau?: number;
  readonly anchors?: "raw" | "cosine";
  readonly normalize?: DistillConfig["normalize"];
  readonly parametrization?: "pyramid" | "pixels";
  readonly init?: DistillConfig["init"];
  readonly levelEvery?: number;
  readonly targets?: number;
  readonly targetWeight?: number;
  readonly schedule?: "constant" | "cosine";
  readonly augment?: number | boolean;
  readonly clean?: boolean;
  readonly augmentation?: DistillConfig["augmentation"];
  readonly noise?: number;
  readonly cropArea?: number;
  readonly lowPass?: number;
  readonly mirror?: boolean;
  readonly ridge?: DistillConfig["ridge"];
  readonly batch?: number;
  readonly learnLabels?: boolean;
  readonly learnTemperature?: boolean;
  readonly seed?: number;
  readonly resume?: boolean;
  readonly overwrite?: boolean;
  readonly baselines: boolean;
  readonly edits: boolean;
}

/** Options of the distillation itself, shared by `distill` and `demo`. Defaults are the configuration's. */
export function distillOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--preset <name>", "a recipe; options beside it win over its settings").choices(presetNames),
    )
    .addOption(
      new Option("--method <method>", "objective (default: clp)").choices(["clp", "clp-mse", "lgm", "sfm"]),
    )
    .addOption(
      new Option("--loss <loss>", "outer loss of clp: cross-entropy or squared error").choices(["ce", "mse"]),
    )
    .option("--ipc <n>", "synthetic images per class (default: 1)", integer(1))
    .option("--steps <n>", "optimisation steps", integer(1))
    .option("--lr <x>", "Adam's learning rate", positive)
    .option("--lambda <x>", "ridge strength relative to tr(K)/m", positive)
    .option("--tau <x>", "temperature of the outer softmax", positive)
    .addOption(
      new Option("--anchors <how>", "columns of W as they are or L2-normalised").choices(["raw", "cosine"]),
    )
    .option(
      "--normalize <map[,map]>",
      `feature map: ${normalizations.join(", ")}; several are summed in the loss`,
      listOf(normalizations),
    )
    .addOption(new Option("--parametrization <how>", "what is optimised").choices(["pyramid", "pixels"]))
    .addOption(
      new Option(
        "--init <how>",
        "start from noise, random real images, or those nearest to their class's mean; traces of real ones stay",
      ).choices(["noise", "real", "centroid"]),
    )
    .option("--level-every <n>", "steps between two levels of the pyramid", integer(1))
    .option(
      "--targets <n>",
      "steps between two choices of target features; 0: none, as with --augment",
      integer(0),
    )
    .option("--target-weight <x>", "pull of the features towards their targets", positive)
    .addOption(new Option("--schedule <how>", "learning rate over the steps").choices(["constant", "cosine"]))
    .option("--augment [n]", "augmented draws of each image a step (1 when no number is given)", integer(1))
    .addOption(
      new Option(
        "--augmentation <recipe>",
        "flip, crop and noise as in LGM; flip and crop; or flip, crops of half the area and more, and weak noise",
      ).choices(augmentationNames),
    )
    .option("--clean", "also use the images as they are, beside the augmented draws")
    .option("--noise <x>", "standard deviation of the draws' noise, for pixels in [0, 1]", atLeastZero)
    .option("--crop-area <x>", "least share of the area that a draw's crop covers", fraction)
    .option("--low-pass <x>", "share of the steps in which a draw loses its finest detail", fraction)
    .option("--mirror", "mirror draws at random (default: where mirrored real images keep their class)")
    .option("--no-mirror", "no mirrored draws: for letters, digits and maps")
    .addOption(
      new Option(
        "--ridge <how>",
        "all views of the images in one ridge problem, or one for each view with the losses averaged",
      ).choices(["joint", "per-view"]),
    )
    .option("--batch <n>", "real features in one step", integer(1))
    .option("--learn-labels", "learn the synthetic labels too (not with sfm)")
    .option("--learn-temperature", "learn tau too (with clp alone)")
    .option("--seed <n>", "seed of everything random (default: 0)", integer(0));
}

/** The configuration that the options ask for; what is not asked for keeps its default. */
export function configOf(options: DistillOptions): Partial<DistillConfig> {
  const { lr, batch, augment, loss } = options;
  return given({
    // --loss alone also wins over a preset's objective.
    method: loss === "mse" ? "clp-mse" : (options.method ?? (loss === "ce" ? "clp" : undefined)),
    ipc: options.ipc,
    seed: options.seed,
    steps: options.steps,
    learningRate: lr,
    lambda: options.lambda,
    tau: options.tau,
    anchors: options.anchors,
    normalize: options.normalize,
    parametrization: options.parametrization,
    init: options.init,
    levelEvery: options.levelEvery,
    targets: options.targets,
    targetWeight: options.targetWeight,
    schedule: options.schedule,
    augment: augment === true ? 1 : augment || undefined,
    clean: options.clean,
    augmentation: options.augmentation,
    noise: options.noise,
    cropArea: options.cropArea,
    lowPass: options.lowPass,
    mirror: options.mirror,
    ridge: options.ridge,
    batchSize: batch,
    learnLabels: options.learnLabels,
    learnTemperature: options.learnTemperature,
  });
}

/** Runs a distillation with a progress display and prints what came of it. */
export async function distill(data: string, options: DistillOptions): Promise<void> {
  const summary = await runJob(
    "distill",
    {
      ...encoderParams(options),
      data,
      config: configOf(options),
      preset: options.preset,
      out: options.out,
      memoryBytes: options.memory,
      overwrite: options.overwrite,
      resume: options.resume,
      baselines: options.baselines,
      edits: options.edits,
      command: commandLine(),
    },
    options,
  );
  reportSet(summary, options);
}

export function addDistill(program: Command): void {
  const command = program
    .command("distill")
    .summary("distil a folder of labelled images into a few synthetic ones")
    .description(
      "Distils the images of DIR (DIR/<class>/*.jpg, or DIR/train and DIR/test; or an embedded set: emoji, " +
        "emoji-subgroups) into --ipc images per class, on which a closed-form linear probe of the frozen " +
        "encoder classifies the real images. Features of the real images are computed once and cached.",
    )
    .argument("<dir>", "folder of images, or NAME:PATH (see `clp-dd datasets`)")
    .requiredOption("--out <folder>", "where the result goes; must be empty or not exist")
    .option("--resume", "go on from the checkpoint of a stopped run with the same settings")
    .option("--overwrite", "replace a distilled set that lies at --out, or a stopped run's checkpoint")
    .option("--no-baselines", "do not measure full data, centroid and random images");
  editsOptions(command);
  commonOptions(encoderOptions(distillOptions(command))).addHelpText(
    "after",
    `
Examples:
  clp-dd distill photos --out distilled                 one image per class, the embedded encoder
  clp-dd distill photos --out d10 --ipc 10 --steps 500  ten per class
  clp-dd distill photos --out clip --encoder clip.onnx  any encoder as an .onnx file
  clp-dd distill photos --out distilled --resume        after an interrupt or a crash

What to change first when the result is poor: --steps and --batch (more), --size
(the encoder's own resolution), --tau (higher serves gradient-trained heads), then
--normalize and --lambda.`,
  );
  command.action((dir: string, options: DistillOptions) => distill(dir, options));
}
