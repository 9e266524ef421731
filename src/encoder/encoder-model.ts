import type { Preprocessing } from "../images/preprocess.ts";
import type { Graph } from "../onnx-vjp/graph/ir.ts";
import type { ModelForm } from "./model-form.ts";

/** How a feature map or token sequence becomes one vector an image. */
export const pools = ["auto", "cls", "mean", "pooler"] as const;
export type Pool = (typeof pools)[number];

/** Where an encoder comes from and what it may be used for; goes into manifests and data cards. */
export interface Provenance {
  /** Short name or path, as the user gave it. */
  readonly id: string;
  /** SHA-256 of the weights file, hexadecimal. */
  readonly sha256: string;
  /** SPDX identifier, or undefined where it is not known. */
  readonly license?: string;
  readonly source?: string;
  readonly revision?: string;
}

/** A frozen encoder as it was read: its graph takes normalized images. */
export interface EncoderModel extends ModelForm {
  readonly provenance: Provenance;
  readonly graph: Graph;
  readonly preprocessing: Preprocessing;
  /** The tensor to take as the feature; undefined chooses by `selectFeature`. */
  readonly feature?: string;
  readonly pool?: Pool;
  /** How the graph itself pools what it gives as a vector, for people; undefined where that is not known. */
  readonly pooled?: string;
}
