import * as z from "zod";
import { ModelError, messageOf } from "../../errors.ts";
import { Preprocessing } from "../../images/preprocess.ts";

const count = z.int().positive();
const numbers = z.union([z.array(z.number()).length(3), z.number()]);
const flag = z.boolean().nullish();
const size = z
  .union([
    count,
    z.tuple([count, count]),
    z.object({
      height: count.nullish(),
      width: count.nullish(),
      shortest_edge: count.nullish(),
      longest_edge: count.nullish(),
    }),
  ])
  .nullish();

/** What preprocessor_config.json says of image processing; other keys are left alone. */
const Processor = z.object({
  image_processor_type: z.string().nullish(),
  feature_extractor_type: z.string().nullish(),
  do_resize: flag,
  size,
  resample: z.int().min(0).max(5).nullish(),
  crop_pct: z.number().positive().nullish(),
  do_center_crop: flag,
  crop_size: size,
  do_rescale: flag,
  rescale_factor: z.number().positive().nullish(),
  rescale_offset: flag,
  do_normalize: flag,
  image_mean: numbers.nullish(),
  image_std: numbers.nullish(),
});
type Processor = z.infer<typeof Processor>;

/** What a class of transformers' image processors does where its configuration is silent. */
interface ProcessorClass {
  /** A size given as one number: the shorter edge, or both sides. */
  readonly number: "shortest edge" | "square";
  readonly size: Processor["size"];
  readonly crop: number | undefined;
  readonly resample: number;
  readonly statistics: keyof typeof statistics;
  /** The resize is by `crop_pct` and followed by a crop, below 384 pixels (ConvNeXt). */
  readonly cropShare?: number;
}

const statistics = {
  imagenet: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
  halves: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] },
  openai: { mean: [0.48145466, 0.4578275, 0.40821073], std: [0.26862954, 0.26130258, 0.27577711] },
} as const;

const square = (side: number) => ({ height: side, width: side });
const plain = { number: "square", size: square(224), crop: undefined } as const;

/** By name without the endings ImageProcessor, ImageProcessorFast, FeatureExtractor; defaults of transformers 5. */
const classes: Readonly<Record<string, ProcessorClass>> = {
  CLIP: {
    ...{ number: "shortest edge", size: { shortest_edge: 224 }, crop: 224 },
    ...{ resample: 3, statistics: "openai" },
  },
  Bit: {
    ...{ number: "shortest edge", size: { shortest_edge: 224 }, crop: 224 },
    ...{ resample: 3, statistics: "openai" },
  },
  ConvNext: {
    ...{ number: "shortest edge", size: { shortest_edge: 384 }, crop: undefined },
    ...{ resample: 3, statistics: "halves", cropShare: 224 / 256 },
  },
  DeiT: { number: "square", size: square(256), crop: 224, resample: 3, statistics: "halves" },
  ViT: { ...plain, resample: 2, statistics: "halves" },
  Siglip: { ...plain, resample: 3, statistics: "halves" },
  DINOv3ViT: { ...plain, resample: 2, statistics: "imagenet" },
};

/** Pillow's codes of resampling filters. */
const filters = [undefined, "lanczos", "bilinear", "bicubic", "box", undefined] as const;

/**
 * Reads a preprocessor_config.json of Hugging Face transformers. Classes that are not known are read as the general
 * one: a size of one number is the shorter edge where a crop follows, else both sides.
 *
 * @param fallback what holds where neither the file nor the class of its processor says anything
 * @param where the file's name in messages
 * @throws ModelError for a text that is no such file, and for resampling that is not done here
 */
export function readPreprocessorConfig(text: string, fallback: Preprocessing, where: string): Preprocessing {
  const config = parsed(Processor, jsonOf(text, where), where);
  const name = (config.image_processor_type ?? config.feature_extractor_type ?? "").replace(
    /(ImageProcessor(Fast|Pil)?|FeatureExtractor)$/,
    "",
  );
  const own = Object.hasOwn(classes, name) ? classes[name] : undefined;
  const code = config.resample ?? own?.resample;
  const interpolation = code === undefined ? fallback.interpolation : filters[code];
  if (interpolation === undefined && config.do_resize !== false) {
    throw new ModelError(
      `${where} resamples with Pillow's filter ${code}. Expected 1 (Lanczos), 2 (bilinear), 3 (bicubic) or 4 (box); ` +
        "change it there, or give another encoder.",
    );
  }
  return checked(
    {
      ...geometry(config, own, fallback),
      ...{ interpolation: interpolation ?? fallback.interpolation },
      ...{ cropOffset: "floor" as const, ...normalisation(config, own, fallback) },
    },
    where,
  );
}

function geometry(
  config: Processor,
  own: ProcessorClass | undefined,
  fallback: Preprocessing,
): Pick<Preprocessing, "resize" | "crop"> {
  const crops = config.do_center_crop ?? (own ? own.crop !== undefined : config.crop_size != null);
  const cropSize = sidesOf(config.crop_size, "square") ?? own?.crop ?? undefined;
  const crop = pairOf(cropSize) ?? (own ? pairOf(224) : fallback.crop);
  const way = own?.number ?? (crops ? "shortest edge" : "square");
  const given = sidesOf(config.size, way) ?? (own ? sidesOf(own.size, way) : undefined);
  if (config.do_resize === false) return { resize: null, crop: crops ? crop! : fallback.crop };
  const resize = given ?? fallback.resize;
  if (own?.cropShare !== undefined && resize !== null) {
    const side = typeof resize === "number" ? resize : resize[0];
    return side < 384
      ? { resize: Math.trunc(side / (config.crop_pct ?? own.cropShare)), crop: [side, side] }
      : { resize: [side, side], crop: [side, side] };
  }
  if (crops) return { resize, crop: crop! };
  // An input of one size is needed: where only the shorter edge is fixed, the centre is taken.
  return { resize, crop: pairOf(resize ?? undefined) ?? fallback.crop };
}

/** A size as `Preprocessing` has it: one number is the shorter edge. */
function sidesOf(
  given: Processor["size"],
  way: ProcessorClass["number"],
): number | [number, number] | undefined {
  if (given == null) return undefined;
  if (typeof given === "number") return way === "square" ? [given, given] : given;
  if (Array.isArray(given)) return [given[0], given[1]];
  if (given.shortest_edge != null) return given.shortest_edge;
  return given.height != null && given.width != null ? [given.height, given.width] : undefined;
}

const pairOf = (sides: number | readonly [number, number] | undefined): [number, number] | undefined =>
  sides === undefined ? undefined : typeof sides === "number" ? [sides, sides] : [sides[0], sides[1]];

/**
 * Mean and deviation for pixels in [0, 1]. With p = 255·x, the reference's (p·f − o − m)/s is
 * (x − (m + o)/(255·f)) / (s/(255·f)).
 */
function normalisation(
  config: Processor,
  own: ProcessorClass | undefined,
  fallback: Preprocessing,
): Pick<Preprocessing, "mean" | "std"> {
  const defaults = own ? statistics[own.statistics] : fallback;
  const normalizes = config.do_normalize !== false;
  const mean = normalizes ? triple(config.image_mean ?? [...defaults.mean]) : triple(0);
  const std = normalizes ? triple(config.image_std ?? [...defaults.std]) : triple(1);
  const rescales = config.do_rescale !== false;
  const factor = rescales ? (config.rescale_factor ?? 1 / 255) : 1;
  // Files write 1/255 with 17 digits: no rounding of it should touch the numbers.
  const scale = Math.abs(255 * factor - 1) < 1e-12 ? 1 : 255 * factor;
  const offset = rescales && config.rescale_offset ? 1 : 0;
  return {
    mean: mean.map((m) => (m + offset) / scale) as [number, number, number],
    std: std.map((s) => s / scale) as [number, number, number],
  };
}

const triple = (value: number | readonly number[]): [number, number, number] =>
  typeof value === "number" ? [value, value, value] : [value[0]!, value[1]!, value[2]!];

/** The keys of timm's `pretrained_cfg` that say how images are made ready. */
export const TimmPretrained = z.object({
  input_size: z.tuple([z.literal(3), count, count]).optional(),
  crop_pct: z.number().positive().nullish(),
  crop_mode: z.string().nullish(),
  interpolation: z.string().nullish(),
  mean: z.array(z.number()).length(3).optional(),
  std: z.array(z.number()).length(3).optional(),
});
export type TimmPretrained = z.infer<typeof TimmPretrained>;

/**
 * timm's evaluation transform: to ⌊side / crop_pct⌋, then the centre. `center` keeps the aspect of square inputs;
 * `squash` resizes to exactly that; `border` pads, which is not done here.
 *
 * @param input height and width, where the configuration has no input_size
 * @throws ModelError for a crop mode or interpolation that is not done here
 */
export function timmPreprocessing(
  config: Omit<TimmPretrained, "input_size"> & { readonly input_size?: readonly [3, number, number] },
  input: readonly [number, number],
  where: string,
): Preprocessing {
  const [, height, width] = config.input_size ?? [3, ...input];
  const share = config.crop_pct ?? 0.875;
  const mode = config.crop_mode ?? "center";
  if (mode !== "center" && mode !== "squash") {
    throw new ModelError(`${where} has crop_mode "${mode}". Expected center or squash; change it there.`);
  }
  const interpolation = Preprocessing.shape.interpolation.safeParse(config.interpolation ?? "bicubic");
  if (!interpolation.success) {
    throw new ModelError(
      `${where} has interpolation "${config.interpolation}". Expected bilinear, bicubic, lanczos or box.`,
    );
  }
  const [down, across] = [Math.floor(height / share), Math.floor(width / share)];
  return checked(
    {
      resize: mode === "center" && height === width ? down : [down, across],
      crop: [height, width],
      interpolation: interpolation.data,
      cropOffset: "round",
      mean: triple(config.mean ?? [...statistics.imagenet.mean]),
      std: triple(config.std ?? [...statistics.imagenet.std]),
    },
    where,
  );
}

/** The preprocessing of a timm config.json with `pretrained_cfg`; undefined where the text is none. */
export function readTimmPreprocessing(
  text: string,
  input: readonly [number, number],
  where: string,
): Preprocessing | undefined {
  const json = jsonOf(text, where);
  if (typeof json !== "object" || json === null || !("pretrained_cfg" in json)) return undefined;
  return timmPreprocessing(parsed(TimmPretrained, json.pretrained_cfg, where), input, where);
}

function jsonOf(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ModelError(`${where} is no JSON (${messageOf(error)}). Download or copy it again.`, {
      cause: error,
    });
  }
}

function checked(value: z.input<typeof Preprocessing>, where: string): Preprocessing {
  return parsed(Preprocessing, value, where);
}

function parsed<T>(schema: z.ZodType<T>, json: unknown, where: string): T {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  throw new ModelError(
    `${where} is not as configurations of preprocessing have it: ${problems.slice(0, 5).join("; ")}. ` +
      "Download or copy it again.",
  );
}
