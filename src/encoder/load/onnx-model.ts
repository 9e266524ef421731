import * as z from "zod";
import { ModelError } from "../../errors.ts";
import { imageStatistics } from "../../images/image-statistics.ts";
import { mostSide, Preprocessing } from "../../images/preprocess.ts";
import type { Graph } from "../../onnx-vjp/graph/ir.ts";
import type { EncoderModel, Pool, Provenance } from "../encoder-model.ts";
import { declaredSize } from "../image-input.ts";
import { givenForm, type ModelForm } from "../model-form.ts";
import { resized, type SizeOptions } from "./resized.ts";

/** Side of the images of a model that leaves it open. */
const openSize = 224;

/**
 * An encoder of a graph that nothing else is known of: images are resized to its input's size, with ImageNet's mean and
 * standard deviation.
 */
export function onnxModel(graph: Graph, provenance: Provenance, form: ModelForm = {}): EncoderModel {
  const { height = openSize, width = openSize } = declaredSize(graph, form);
  if (height > mostSide || width > mostSide) {
    throw new ModelError(
      `${provenance.id} takes images of ${height} × ${width} pixels. Expected at most ${mostSide} on a side: the file is ` +
        "damaged, or not a model of images.",
    );
  }
  return {
    provenance,
    graph,
    ...givenForm(form),
    preprocessing: Preprocessing.parse({
      resize: height === width ? height : [height, width],
      crop: [height, width],
      interpolation: "bicubic",
      ...imageStatistics.imagenet,
    }),
  };
}

/** What `tools/convert_efficientnet_lite.py` writes beside a model it converts. */
export const ModelCard = z.object({
  license: z.string(),
  source: z.string(),
  feature: z.string(),
  preprocessing: Preprocessing,
});
export type ModelCard = z.infer<typeof ModelCard>;

/** How a model is to be read, whatever it lies in. */
export interface CardOptions extends SizeOptions {
  readonly feature?: string;
  readonly pool?: Pool;
  readonly preprocessing?: Partial<Preprocessing>;
}

/** A model with what its card says, at the size and with the feature that are asked for. */
export function withCard(
  model: EncoderModel,
  card: ModelCard | undefined,
  options: CardOptions = {},
  preprocessing: Preprocessing = card?.preprocessing ?? model.preprocessing,
): EncoderModel {
  const feature = options.feature ?? card?.feature;
  return {
    ...model,
    provenance: { ...model.provenance, ...(card ? { license: card.license, source: card.source } : {}) },
    preprocessing: resized({ ...preprocessing, ...options.preprocessing }, options),
    ...(feature ? { feature } : {}),
    ...(options.pool ? { pool: options.pool } : {}),
  };
}
