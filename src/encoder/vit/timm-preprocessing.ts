import * as z from "zod";
import { ModelError } from "../../errors.ts";
import { imageStatistics } from "../../images/image-statistics.ts";
import { Preprocessing } from "../../images/preprocess.ts";
import { jsonOf, parsed, triple } from "./preprocessor-json.ts";

const count = z.int().positive();

/** The keys of timm's `pretrained_cfg` that say how images are made ready. */
export const TimmPretrained = z.object({
  input_size: z.tuple([z.literal(3), count, count]).optional(),
  fixed_input_size: z.boolean().nullish(),
  crop_pct: z.number().positive().nullish(),
  crop_mode: z.string().nullish(),
  interpolation: z.string().nullish(),
  mean: z.array(z.number()).length(3).optional(),
  std: z.array(z.number()).length(3).optional(),
});
export type TimmPretrained = z.infer<typeof TimmPretrained>;

/**
 * timm's evaluation transform (`transforms_imagenet_eval`): to ⌊side / crop_pct⌋, then the center. `center` keeps the
 * aspect; `squash` resizes to exactly that. Not done here are `border`, which pads, and `center` to a rectangle, whose
 * resize follows the image's shape.
 *
 * @param input height and width, where the configuration has no input_size
 * @throws ModelError for a crop mode or interpolation that is not done here
 */
export function timmPreprocessing(
  config: Omit<TimmPretrained, "input_size"> & {
    readonly input_size?: readonly [3, number, number] | undefined;
  },
  input: readonly [number, number],
  where: string,
): Preprocessing {
  const [, height, width] = config.input_size ?? [3, ...input];
  const share = config.crop_pct ?? 0.875;
  const mode = config.crop_mode ?? "center";
  if (mode !== "center" && mode !== "squash") {
    throw new ModelError(
      `${where} has crop_mode "${mode}", which is not done here. Expected center or squash; change it there.`,
    );
  }
  const interpolation = Preprocessing.shape.interpolation.safeParse(config.interpolation ?? "bicubic");
  if (!interpolation.success) {
    throw new ModelError(
      `${where} has interpolation "${config.interpolation}", which is not done here. Expected ` +
        "bilinear, bicubic, lanczos, box or hamming.",
    );
  }
  const [down, across] = [Math.floor(height / share), Math.floor(width / share)];
  if (mode === "center" && down !== across) {
    throw new ModelError(
      `${where} has crop_mode "center" for images of ${height} × ${width}, which is done here for squares alone. ` +
        'Set crop_mode to "squash", or make input_size a square.',
    );
  }
  return parsed(
    Preprocessing,
    {
      resize: mode === "center" ? down : [down, across],
      crop: [height, width],
      interpolation: interpolation.data,
      cropOffset: "round",
      mean: triple(config.mean ?? imageStatistics.imagenet.mean),
      std: triple(config.std ?? imageStatistics.imagenet.std),
    },
    where,
  );
}

/**
 * The preprocessing of a timm config.json: of its `pretrained_cfg` or, as timm once wrote it, of its own keys; undefined
 * where the text is not a configuration of timm's.
 */
export function readTimmPreprocessing(
  text: string,
  input: readonly [number, number],
  where: string,
): Preprocessing | undefined {
  const json = jsonOf(text, where);
  if (typeof json !== "object" || json === null) return undefined;
  if ("pretrained_cfg" in json)
    return timmPreprocessing(parsed(TimmPretrained, json.pretrained_cfg, where), input, where);
  if ("architecture" in json && ("input_size" in json || "crop_pct" in json))
    return timmPreprocessing(parsed(TimmPretrained, json, where), input, where);
  return undefined;
}
