import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import * as z from "zod";
import { readPreprocessorConfig } from "../../../src/encoder/load/preprocessor-config.ts";
import { readTimmPreprocessing } from "../../../src/encoder/vit/timm-preprocessing.ts";
import { ModelError } from "../../../src/errors.ts";
import { Preprocessing, preprocess } from "../../../src/images/preprocess.ts";

const fallback = Preprocessing.parse({
  resize: 40,
  crop: [36, 36],
  interpolation: "box",
  mean: [0.1, 0.2, 0.3],
  std: [0.4, 0.5, 0.6],
});
const imagenet = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const openai = {
  mean: [0.48145466, 0.4578275, 0.40821073],
  std: [0.26862954, 0.26130258, 0.27577711],
};
const halves = { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] };
const statistics = ({ mean, std }: { mean: number[]; std: number[] }) => ({
  image_mean: mean,
  image_std: std,
});
const usual = { do_normalize: true, do_rescale: true, do_resize: true, rescale_factor: 0.00392156862745098 };
const read = (config: unknown) => readPreprocessorConfig(JSON.stringify(config), fallback, "p.json");

describe("a preprocessor_config.json", () => {
  // As the families' repositories have them.
  it.each([
    [
      "CLIP, with sizes of one number",
      {
        crop_size: 224,
        do_center_crop: true,
        do_normalize: true,
        do_resize: true,
        size: 224,
        feature_extractor_type: "CLIPFeatureExtractor",
        ...statistics(openai),
        resample: 3,
      },
      { resize: 224, crop: [224, 224], interpolation: "bicubic", ...openai },
    ],
    [
      "DINOv2",
      {
        ...{ crop_size: { height: 224, width: 224 }, do_center_crop: true, do_convert_rgb: true, ...usual },
        ...statistics(imagenet),
        image_processor_type: "BitImageProcessor",
        resample: 3,
        size: { shortest_edge: 256 },
      },
      { resize: 256, crop: [224, 224], interpolation: "bicubic", ...imagenet },
    ],
    [
      "SigLIP2",
      {
        do_convert_rgb: null,
        ...usual,
        ...statistics(halves),
        resample: 2,
        image_processor_type: "SiglipImageProcessor",
        processor_class: "SiglipProcessor",
        size: { height: 224, width: 224 },
      },
      { resize: [224, 224], crop: [224, 224], interpolation: "bilinear", ...halves },
    ],
    [
      "DINOv3, with keys that are null",
      {
        crop_size: null,
        do_center_crop: null,
        ...usual,
        ...statistics(imagenet),
        resample: 2,
        ...{ image_processor_type: "DINOv3ViTImageProcessorFast", size: { height: 224, width: 224 } },
      },
      { resize: [224, 224], crop: [224, 224], interpolation: "bilinear", ...imagenet },
    ],
    [
      "DeiT, whose one number is both sides",
      {
        crop_size: 224,
        do_center_crop: true,
        do_normalize: true,
        do_resize: true,
        size: 256,
        feature_extractor_type: "DeiTFeatureExtractor",
        ...statistics(imagenet),
        resample: 3,
      },
      { resize: [256, 256], crop: [224, 224], interpolation: "bicubic", ...imagenet },
    ],
    [
      "MAE",
      {
        do_normalize: true,
        do_resize: true,
        feature_extractor_type: "ViTFeatureExtractor",
        ...statistics(imagenet),
        resample: 3,
        size: 224,
      },
      { resize: [224, 224], crop: [224, 224], interpolation: "bicubic", ...imagenet },
    ],
    [
      "ConvNeXt, whose crop is a share of the resize",
      {
        ...usual,
        image_processor_type: "ConvNextImageProcessor",
        crop_pct: 0.875,
        size: { shortest_edge: 224 },
      },
      { resize: 256, crop: [224, 224], interpolation: "bicubic", ...halves },
    ],
    [
      "no class, with everything said",
      { ...usual, ...statistics(halves), size: { shortest_edge: 96 }, crop_size: 80, resample: 1 },
      { resize: 96, crop: [80, 80], interpolation: "lanczos", ...halves },
    ],
    [
      "one number for both sides where the file says so",
      { image_processor_type: "CLIPImageProcessor", size: 96, crop_size: 80, default_to_square: true },
      { resize: [96, 96], crop: [80, 80], interpolation: "bicubic", ...openai },
    ],
    [
      "nested in a processor_config.json",
      { processor_class: "X", image_processor: { image_processor_type: "ViTImageProcessor", size: 96 } },
      { resize: [96, 96], crop: [96, 96], interpolation: "bilinear", ...halves },
    ],
    [
      "a class that says nothing, by transformers' defaults",
      { image_processor_type: "CLIPImageProcessor" },
      { resize: 224, crop: [224, 224], interpolation: "bicubic", ...openai },
    ],
    [
      "no resize",
      { ...usual, do_resize: false, do_center_crop: true, crop_size: 64, ...statistics(halves) },
      { resize: null, crop: [64, 64], interpolation: "box", ...halves },
    ],
  ])("is read: %s", (_, config, expected) => {
    expect(read(config)).toEqual({ ...expected, cropOffset: "floor" });
  });

  it("folds every rescaling into mean and deviation", () => {
    const pixel = 200;
    const applied = ({ mean, std }: Preprocessing) => (pixel / 255 - mean[0]) / std[0];
    const of = (config: object) =>
      applied(read({ ...statistics(imagenet), size: 8, resample: 2, ...config }));
    const [m, s] = [imagenet.mean[0], imagenet.std[0]];
    expect(of({})).toBeCloseTo((pixel / 255 - m) / s, 12);
    expect(of({ do_rescale: false })).toBeCloseTo((pixel - m) / s, 9);
    expect(of({ rescale_factor: 1 / 127.5 })).toBeCloseTo((pixel / 127.5 - m) / s, 12);
    expect(of({ rescale_factor: 1 / 127.5, rescale_offset: true })).toBeCloseTo(
      (pixel / 127.5 - 1 - m) / s,
      12,
    );
    expect(of({ do_normalize: false })).toBeCloseTo(pixel / 255, 12);
  });

  it("is refused where it says what is not done here, or nothing sensible", () => {
    const vit = { image_processor_type: "ViTImageProcessor" };
    expect(() => read({ ...vit, size: 8, resample: 0 })).toThrow(/p\.json resamples with Pillow's filter 0/);
    expect(() => read({ ...vit, size: 8, resample: 6 })).toThrow(ModelError);
    expect(() => read({ ...vit, size: -1 })).toThrow(/p\.json is not as configurations/);
    expect(() => read({ ...vit, size: 2 ** 31 })).toThrow(/p\.json is not as configurations.*16384/);
    expect(() => read({ ...vit, size: 8, image_std: [0, 1, 1] })).toThrow(/std/);
    expect(() => readPreprocessorConfig("{", fallback, "p.json")).toThrow(/p\.json is not valid JSON/);
  });
});

describe("what a preprocessor_config.json does not say, or says in unknown words,", () => {
  it.each([
    [
      "a class",
      { image_processor_type: "SamImageProcessor", size: 8 },
      /for SamImageProcessor, which is not read/,
    ],
    [
      "a class like an object's own",
      { image_processor_type: "constructor" },
      /for constructor, which is not read/,
    ],
    [
      "a key",
      { image_processor_type: "ViTImageProcessor", do_sharpen: true },
      /do_sharpen true, which ViTImage/,
    ],
    ["another class's key", { image_processor_type: "BitImageProcessor", crop_pct: 0.9 }, /crop_pct 0\.9/],
    ["padding", { image_processor_type: "CLIPImageProcessor", do_pad: true }, /do_pad true/],
    [
      "a value",
      { image_processor_type: "DPTImageProcessor", keep_aspect_ratio: true },
      /keep_aspect_ratio true, expected false/,
    ],
    [
      "a longest edge",
      { image_processor_type: "ViTImageProcessor", size: { shortest_edge: 8, longest_edge: 9 } },
      /gives size as .*longest_edge/,
    ],
    [
      "a shorter edge without a crop",
      { image_processor_type: "BitImageProcessor", do_center_crop: false },
      /crops nothing/,
    ],
    [
      "a crop of the shorter edge",
      { image_processor_type: "CLIPImageProcessor", crop_size: { shortest_edge: 8 } },
      /crop_size as a shortest edge/,
    ],
    [
      "no class and no statistics",
      { size: { height: 8, width: 8 }, resample: 3 },
      /nothing of image_mean, image_std/,
    ],
    [
      "no class and a number of two meanings",
      { ...statistics(halves), resample: 3, size: 8, crop_size: 6 },
      /shorter edge or both sides/,
    ],
  ])("is refused by name: %s", (_, config, message) => {
    expect(() => read(config)).toThrow(ModelError);
    expect(() => read(config)).toThrow(message);
  });

  it("is that of the model's own class, as transformers takes it", () => {
    const config = { ...statistics(imagenet), size: 96, crop_size: 80 };
    const of = (modelType: string) =>
      readPreprocessorConfig(JSON.stringify(config), fallback, "p.json", modelType);
    expect(of("clip")).toMatchObject({ resize: 96, crop: [80, 80], interpolation: "bicubic" });
    expect(of("vit")).toMatchObject({ resize: [96, 96], crop: [96, 96], interpolation: "bilinear" });
  });

  it("may switch off what is not known: nothing is then done", () => {
    const vit = { image_processor_type: "ViTImageProcessor", size: 96 };
    expect(read({ ...vit, do_pad: false, max_size: null })).toEqual(read(vit));
  });
});

describe("a timm configuration", () => {
  const timm = (pretrained: unknown) =>
    readTimmPreprocessing(
      JSON.stringify({ architecture: "x", pretrained_cfg: pretrained }),
      [8, 8],
      "c.json",
    );

  it("is read: EVA-02", () => {
    const eva = {
      tag: "mim_in22k",
      custom_load: false,
      input_size: [3, 224, 224],
      fixed_input_size: true,
      interpolation: "bicubic",
      crop_pct: 1.0,
      crop_mode: "center",
      ...openai,
      num_classes: 0,
    };
    expect(timm(eva)).toEqual({
      resize: 224,
      crop: [224, 224],
      interpolation: "bicubic",
      cropOffset: "round",
      ...openai,
    });
  });

  it("is read as timm once wrote it, without a part of its own", () => {
    const old = { architecture: "x", input_size: [3, 32, 32], crop_pct: 0.5, interpolation: "bilinear" };
    expect(readTimmPreprocessing(JSON.stringify(old), [8, 8], "c.json")).toMatchObject({
      resize: 64,
      crop: [32, 32],
      interpolation: "bilinear",
      ...imagenet,
    });
  });

  it("is refused for what is not done here", () => {
    expect(() => timm({ crop_mode: "border" })).toThrow(/c\.json has crop_mode "border"/);
    expect(() => timm({ interpolation: "random" })).toThrow(/interpolation "random"/);
    expect(() => timm({ input_size: [3, 64, 96] })).toThrow(/"center" for images of 64 × 96/);
    expect(readTimmPreprocessing("{}", [8, 8], "c.json")).toBeUndefined();
  });
});

const pair = z.tuple([z.number(), z.number()]);
const Fixtures = z.object({
  cases: z.array(
    z.object({
      kind: z.enum(["transformers", "timm"]),
      name: z.string(),
      madeBy: z.string(),
      config: z.string(),
      source: pair,
      crop: pair,
    }),
  ),
});
const folder = new URL("../../fixtures/preprocessing/", import.meta.url);
const { cases } = Fixtures.parse(JSON.parse(readFileSync(new URL("index.json", folder), "utf8")));
const bytes = gunzipSync(readFileSync(new URL("pixels.bin.gz", folder)));
let offset = 0;
const loaded = cases.map((entry) => {
  const [width, height] = entry.source;
  const data = new Uint8Array(bytes.subarray(offset, offset + 3 * width * height));
  offset += data.length;
  const count = 3 * entry.crop[0] * entry.crop[1];
  const want = new Float32Array(
    bytes.buffer.slice(bytes.byteOffset + offset, bytes.byteOffset + offset + 4 * count),
  );
  offset += 4 * count;
  return { ...entry, image: { width, height, data }, want };
});

// Of torch's 8-bit tensors only where they shrink: where they enlarge they are themselves two levels off Pillow.
describe("the pixels", () => {
  it.each(loaded.map((entry) => [`${entry.madeBy} ${entry.name} of ${entry.source}`, entry] as const))(
    "are within 1/255 of those of %s",
    (_, { kind, config, image, want, crop }) => {
      const preprocessing =
        kind === "timm"
          ? readTimmPreprocessing(JSON.stringify({ pretrained_cfg: JSON.parse(config) }), [1, 1], "case")!
          : readPreprocessorConfig(config, fallback, "case");
      expect(preprocessing.crop).toEqual(crop);
      const got = preprocess(image, preprocessing);
      const { mean, std, channels } = preprocessing;
      const plane = crop[0] * crop[1];
      let worst = 0;
      for (let i = 0; i < want.length; i++) {
        const given = Math.floor(i / plane);
        const channel = channels === "bgr" ? 2 - given : given;
        const expected = want[i] * std[channel] + mean[channel];
        worst = Math.max(worst, Math.abs(got[channel * plane + (i % plane)] / 255 - expected));
      }
      expect(worst).toBeLessThan(1.001 / 255);
    },
  );
});
