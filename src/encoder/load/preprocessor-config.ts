import * as z from "zod";
import { ModelError } from "../../errors.ts";
import { imageStatistics } from "../../images/image-statistics.ts";
import { Preprocessing } from "../../images/preprocess.ts";
import { jsonOf, parsed, triple } from "../vit/preprocessor-json.ts";
import { readTimmPreprocessing } from "../vit/timm-preprocessing.ts";
import {
  commonKeys,
  idleKeys,
  type ProcessorClass,
  peculiarKeys,
  processorClasses,
  processorOfModel,
} from "./processors.ts";

const count = z.int().positive();
const flag = z.boolean().nullish();
const share = z.number().positive().nullish();
const size = z
  .union([count, z.tuple([count, count]), z.record(z.string(), z.int().nonnegative().nullable())])
  .nullish();
type Size = z.infer<typeof size>;
const numbers = z.union([z.array(z.number()).length(3), z.number()]).nullish();

/** The keys of preprocessor_config.json that are heeded. */
const Processor = z.looseObject({
  image_processor_type: z.string().nullish(),
  feature_extractor_type: z.string().nullish(),
  do_resize: flag,
  size,
  default_to_square: flag,
  resample: z.int().min(0).max(5).nullish(),
  do_center_crop: flag,
  crop_size: size,
  crop_pct: share,
  do_rescale: flag,
  rescale_factor: share,
  rescale_offset: flag,
  do_normalize: flag,
  image_mean: numbers,
  image_std: numbers,
  include_top: flag,
  do_flip_channel_order: flag,
  patch_size: count.nullish(),
  max_num_patches: count.nullish(),
});
type Processor = z.infer<typeof Processor>;

/** A file that is being read: its name in messages, its content, and its class where it has one. */
interface Reading {
  readonly where: string;
  readonly config: Processor;
  readonly own: ProcessorClass | undefined;
  /** The class's name, for people. */
  readonly name: string;
  readonly fallback: Preprocessing;
}

/** Pillow's codes of resampling filters. */
const filters = [undefined, "lanczos", "bilinear", "bicubic", "box", "hamming"] as const;

/**
 * Reads a preprocessor_config.json of Hugging Face transformers, or the part of a processor_config.json that stands for
 * it, as the class that it names does. Where it names none, the model's own class is taken; where that is not known
 * either, everything must be said.
 *
 * @param fallback the crop where nothing is resized or cropped: the model's own input
 * @param where the file's name in messages
 * @param modelType `model_type` of the config.json beside it
 * @throws ModelError for a class, key or value that is not known, naming it
 */
export function readPreprocessorConfig(
  text: string,
  fallback: Preprocessing,
  where: string,
  modelType?: string,
): Preprocessing {
  const json = jsonOf(text, where);
  const nested = z.object({ image_processor: z.looseObject({}) }).safeParse(json);
  const config = parsed(Processor, nested.success ? nested.data.image_processor : json, where);
  const named = config.image_processor_type ?? config.feature_extractor_type ?? undefined;
  if (named === "TimmWrapperImageProcessor") {
    const timm = readTimmPreprocessing(JSON.stringify(config), [fallback.crop[0], fallback.crop[1]], where);
    if (timm !== undefined) return timm;
  }
  const name =
    named === undefined
      ? processorOfModel(modelType ?? "")
      : named.replace(/(ImageProcessor(Fast|Pil)?|FeatureExtractor)$/, "");
  const own =
    name !== undefined && Object.hasOwn(processorClasses, name) ? processorClasses[name] : undefined;
  if (named !== undefined && own === undefined) throw unknownClass(where, named);
  const reading = { where, config, own, name: `${name}ImageProcessor`, fallback };
  requireKnownKeys(reading);
  if (own === undefined) requireExplicit(reading);
  const channels = channelOrder(reading);
  return parsed(
    Preprocessing,
    {
      ...geometry(reading),
      interpolation: interpolationOf(reading),
      cropOffset: "floor",
      ...normalization(reading),
      ...(channels === "bgr" ? { channels } : {}),
    },
    where,
  );
}

function unknownClass(where: string, name: string): ModelError {
  return new ModelError(
    `${where} is for ${name}, which is not read here: what it does to an image is not known. Read are ` +
      `${Object.keys(processorClasses).join(", ")} (each with ImageProcessor behind it). Where one of them does the same, name ` +
      "it in image_processor_type and give its keys: ViTImageProcessor resizes to size, CLIPImageProcessor resizes the " +
      "shorter edge and crops the center to crop_size; both rescale and normalize.",
  );
}

/** A key that is null or false switches nothing on; any other must be one whose effect is known. */
function requireKnownKeys({ where, config, own, name }: Reading): void {
  const heeded = new Set([
    ...commonKeys,
    ...idleKeys,
    ...(own?.idle ?? []),
    ...(own?.peculiarity ? peculiarKeys[own.peculiarity] : []),
    ...(own === undefined ? ["rescale_offset", "do_flip_channel_order"] : []),
  ]);
  for (const [key, value] of Object.entries(config)) {
    const allowed = own?.only?.[key];
    if (value === null || value === undefined || heeded.has(key)) continue;
    if (allowed === undefined ? value === false : allowed.includes(value)) continue;
    const expected =
      allowed === undefined
        ? `which ${own === undefined ? "is not known" : `${name} is not known to heed`}`
        : `expected ${allowed.map((one) => JSON.stringify(one)).join(" or ")}`;
    throw new ModelError(
      `${where} has ${key} ${shownValue(value)}, ${expected}: images would be made ready in another way than the model's ` +
        "own. Remove the key if the model does not need it, or export the model with that step inside it.",
    );
  }
}

const shownValue = (value: unknown): string => {
  const text = JSON.stringify(value);
  return text.length > 40 ? `${text.slice(0, 39)}…` : text;
};

/** Without a class nothing has a default, and a size of one number has two meanings. */
function requireExplicit({ where, config }: Reading): void {
  const resizes = config.do_resize !== false;
  const crops = config.do_center_crop ?? config.crop_size != null;
  const missing = [
    ...(resizes && config.size == null ? ["size"] : []),
    ...(resizes && config.resample == null ? ["resample"] : []),
    ...(crops && config.crop_size == null ? ["crop_size"] : []),
    ...(config.do_normalize !== false && config.image_mean == null ? ["image_mean"] : []),
    ...(config.do_normalize !== false && config.image_std == null ? ["image_std"] : []),
  ];
  const ambiguous = resizes && crops && typeof config.size === "number" && config.default_to_square == null;
  if (missing.length === 0 && !ambiguous) return;
  throw new ModelError(
    `${where} names no image_processor_type, and ` +
      (missing.length > 0
        ? `says nothing of ${missing.join(", ")}`
        : `its size ${String(config.size)} may be the shorter edge or both sides`) +
      ". Add the class of the model's image processor (such as CLIPImageProcessor), or what is missing; a size is " +
      '{"shortest_edge": 224} or {"height": 224, "width": 224}.',
  );
}

function interpolationOf({ where, config, own, fallback }: Reading): Preprocessing["interpolation"] {
  const code = config.resample ?? own?.resample;
  const found = code === undefined ? undefined : filters[code];
  if (found !== undefined) return found;
  if (config.do_resize === false) return fallback.interpolation;
  throw new ModelError(
    `${where} resamples with Pillow's filter ${code} (nearest neighbor). Expected 1 (Lanczos), 2 (bilinear), ` +
      "3 (bicubic), 4 (box) or 5 (Hamming); change it there, or give another encoder.",
  );
}

function geometry(reading: Reading): Pick<Preprocessing, "resize" | "crop"> {
  const { where, config, own, fallback, name } = reading;
  const crops = config.do_center_crop ?? (own ? own.crop !== undefined : config.crop_size != null);
  const crop = crops ? cropOf(reading) : undefined;
  if (config.do_resize === false) return { resize: null, crop: crop ?? fallback.crop };
  const peculiarity = own?.peculiarity;
  if (peculiarity === "patches of a square") {
    const side = Math.floor(Math.sqrt(config.max_num_patches ?? 256)) * (config.patch_size ?? 16);
    return { resize: [side, side], crop: [side, side] };
  }
  const sides = sidesOf(reading, config.size ?? own?.size, "size");
  if (peculiarity === "crop share below 384") {
    if (typeof sides !== "number" || crop !== undefined) {
      throw new ModelError(
        `${where}: ${name} takes a size of {"shortest_edge": …} and crops by crop_pct alone. Remove do_center_crop, ` +
          "or name another image_processor_type.",
      );
    }
    return sides < 384
      ? { resize: Math.trunc(sides / (config.crop_pct ?? own!.cropShare!)), crop: [sides, sides] }
      : { resize: [sides, sides], crop: [sides, sides] };
  }
  const resize =
    peculiarity === "divided by crop share"
      ? dividedBy(sides, config.crop_pct ?? own!.cropShare!)
      : peculiarity === "256 of 224" && typeof sides === "number"
        ? Math.trunc((256 / 224) * sides)
        : sides;
  if (crop !== undefined) return { resize, crop };
  if (typeof resize !== "number") return { resize, crop: resize };
  throw new ModelError(
    `${where} resizes the shorter edge to ${resize} and crops nothing: images of other shapes would have other sizes, ` +
      'and an encoder needs one. Add "do_center_crop": true and "crop_size", or give the size as height and width.',
  );
}

function dividedBy(sides: number | [number, number], share: number): number | [number, number] {
  if (typeof sides === "number") return Math.trunc(sides / share);
  const [height, width] = sides.map((side) => Math.trunc(side / share)) as [number, number];
  return sides[0] === sides[1] ? height : [height, width];
}

/** Height and width of the center crop. */
function cropOf(reading: Reading): [number, number] {
  const { config, own, where } = reading;
  const side = own?.crop ?? own?.cropWhenAsked;
  const given = config.crop_size ?? side;
  if (given === undefined) {
    throw new ModelError(`${where} has do_center_crop but no crop_size. Add it, as height and width.`);
  }
  const sides =
    typeof given === "number" ? ([given, given] as [number, number]) : sidesOf(reading, given, "crop_size");
  if (typeof sides !== "number") return sides;
  throw new ModelError(`${where} gives crop_size as a shortest edge. Expected height and width.`);
}

/** A size as `Preprocessing` has it: one number is the shorter edge. */
function sidesOf(
  { where, config, own }: Reading,
  given: Size | ProcessorClass["size"],
  key: string,
): number | [number, number] {
  if (typeof given === "number") {
    const square = config.default_to_square ?? own?.number !== "shortest edge";
    return square ? [given, given] : given;
  }
  if (Array.isArray(given)) return [given[0], given[1]];
  const entries = Object.entries(given ?? {}).filter(([, side]) => side != null);
  const keys = new Map(entries as [string, number][]);
  const [height, width, shorter] = [keys.get("height"), keys.get("width"), keys.get("shortest_edge")];
  if (keys.size === 2 && height !== undefined && width !== undefined) return [height, width];
  if (keys.size === 1 && shorter !== undefined) return shorter;
  throw new ModelError(
    `${where} gives ${key} as ${JSON.stringify(given)}. Expected height and width, or shortest_edge alone: with other ` +
      "keys images of different shapes get different sizes, and an encoder needs one.",
  );
}

function channelOrder({ config, own }: Reading): "rgb" | "bgr" {
  if (own?.peculiarity === "bare BGR") return "bgr";
  const flips = config.do_flip_channel_order ?? own?.peculiarity === "flips channels";
  return flips ? "bgr" : "rgb";
}

/**
 * Mean and standard deviation for pixels in [0, 1]. With p = 255·x, the reference's (p·f − o − m)/s is
 * (x − (m + o)/(255·f)) / (s/(255·f)).
 */
function normalization({ config, own }: Reading): Pick<Preprocessing, "mean" | "std"> {
  const defaults = imageStatistics[own?.statistics ?? "none"];
  const normalizes =
    own?.peculiarity !== "flips channels" &&
    own?.peculiarity !== "bare BGR" &&
    (config.do_normalize ?? own?.normalizes ?? true);
  const mean = normalizes ? triple(config.image_mean ?? defaults.mean) : triple(0);
  const once = normalizes ? triple(config.image_std ?? defaults.std) : triple(1);
  const again = own?.peculiarity === "normalizes twice" && config.include_top !== false;
  const divisor = again ? triple(config.image_std ?? defaults.std) : triple(1);
  const std = once.map((s, i) => s * divisor[i]);
  const rescales = own?.peculiarity !== "bare BGR" && config.do_rescale !== false;
  const factor = rescales ? (config.rescale_factor ?? own?.rescaleFactor ?? 1 / 255) : 1;
  // Files write 1/255 with 17 digits: no rounding of it should touch the numbers.
  const scale = Math.abs(255 * factor - 1) < 1e-12 ? 1 : 255 * factor;
  const offset = rescales && config.rescale_offset ? 1 : 0;
  return {
    mean: mean.map((m) => (m + offset) / scale) as [number, number, number],
    std: std.map((s) => s / scale) as [number, number, number],
  };
}
