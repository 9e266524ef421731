import type { Manifest } from "../artifact/manifest.ts";
import type { OnnxFiles } from "./onnx-files.ts";

/** What an export says of its set. */
export type ExportedSet = Pick<
  Manifest,
  "classes" | "encoder" | "data" | "probe" | "kind" | "tool" | "metrics"
>;

/** Best logit below which a picture may be of none of the classes; undefined where the set records no threshold. */
export const unknownLogit = ({ probe: { calibration } }: Pick<ExportedSet, "probe">): number | undefined =>
  calibration && calibration.unknownBelow / calibration.temperature;

/** What the ONNX file says of itself, for who has that file alone. */
export function modelMetadata(set: ExportedSet): Record<string, string> {
  const { classes, encoder, tool, probe } = set;
  const { crop, mean, std } = encoder.preprocessing;
  const unknown = unknownLogit(set);
  return {
    class_names: JSON.stringify(classes),
    // What comes out of the resize in the graph; the input may have any size.
    image_size: JSON.stringify(crop),
    // Applied in the graph, too: the input is in [0, 1].
    image_mean: JSON.stringify(mean),
    image_std: JSON.stringify(std),
    preprocessing: JSON.stringify(encoder.preprocessing),
    input: "pixel_values [batch, channels, height, width] in [0, 1]: RGB, RGBA or gray, of any size",
    output: `logits [batch, ${classes.length}]: softmax makes them probabilities`,
    encoder: encoder.id,
    encoder_sha256: encoder.sha256,
    ...(probe.calibration ? { temperature: String(probe.calibration.temperature) } : {}),
    ...(unknown === undefined ? {} : { unknown_below_logit: String(unknown) }),
    made_by: `${tool.name} ${tool.version}`,
  };
}

/** `config.json`, as transformers.js and Optimum read it. "vit" stands for any graph: it is run as it is. */
export function modelConfig(set: ExportedSet, files: readonly [OnnxFiles, ...OnnxFiles[]]): object {
  const { classes, encoder } = set;
  const unknown = unknownLogit(set);
  const external = files.filter(({ weights }) => weights.length > 0);
  return {
    architectures: ["ViTForImageClassification"],
    model_type: "vit",
    problem_type: "single_label_classification",
    image_size: encoder.preprocessing.crop[0],
    num_channels: 3,
    id2label: Object.fromEntries(classes.map((name, i) => [i, name])),
    label2id: Object.fromEntries(classes.map((name, i) => [name, i])),
    // Without a type, browsers ask for model_quantized.onnx.
    "transformers.js_config": {
      dtype: files[0].dtype,
      ...(external.length === 0
        ? {}
        : {
            use_external_data_format: Object.fromEntries(
              external.map(({ name, weights }) => [name, weights.length]),
            ),
          }),
    },
    clp_dd: {
      encoder: encoder.id,
      encoder_sha256: encoder.sha256,
      ...(unknown === undefined ? {} : { unknown_below_logit: unknown }),
    },
  };
}

/**
 * `preprocessor_config.json`: pictures as they are, scaled to [0, 1]. Resize, crop and normalization are in the graph; so is
 * what becomes of opacity, which the conversion to RGB would drop.
 */
export function processorConfig({ encoder }: ExportedSet): object {
  const [height, width] = encoder.preprocessing.crop;
  return {
    image_processor_type: "ViTImageProcessor",
    do_resize: false,
    do_center_crop: false,
    do_rescale: true,
    rescale_factor: 1 / 255,
    do_normalize: false,
    do_convert_rgb: false,
    image_mean: [0, 0, 0],
    image_std: [1, 1, 1],
    // Of no effect where nothing is resized; readers of such files expect it.
    size: { height, width },
  };
}
