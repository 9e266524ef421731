import type { Split } from "../data/image-source.ts";
import type { Alignment } from "../images/compare-pictures.ts";

/** An image of the data set. */
export interface CheckedImage {
  readonly split: Split;
  /** Its name in the split: for a folder, its path there. */
  readonly image: string;
  readonly class: string;
}

/** An image whose label another class fits better. */
export interface SuspectedImage extends CheckedImage {
  readonly suggested: string;
  readonly labelProbability: number;
  readonly suggestedProbability: number;
  /** Whether the class suggested is as probable as for the mean image that is labeled with it. */
  readonly confident: boolean;
}

/** Two images that are nearly the same; a leak is one of train with one of test. */
export interface DuplicatePair {
  readonly first: CheckedImage;
  readonly second: CheckedImage;
  /** Cosine of their features. */
  readonly similarity: number;
  /** What found them: very similar features, or pictures that agree where features are less similar. */
  readonly by: "features" | "picture";
  /** Of the pictures at their best alignment, where they found the pair. */
  readonly correlation?: number;
  readonly alignment?: Alignment;
  readonly leak: boolean;
}

/** What `clp-dd check` finds out about a data set. Accuracies and probabilities are from 0 to 1. */
export interface DataCheck {
  readonly data: string;
  readonly encoder: string;
  readonly classes: readonly {
    readonly name: string;
    readonly train: number;
    readonly test?: number;
    /** Leave-one-out; null for a class without a readable image. */
    readonly accuracy: number | null;
  }[];
  /** Leave-one-out accuracy of the full-data probe on the training images, and its λ. */
  readonly accuracy: number;
  readonly lambda: number;
  /** Of the same probe on the test images, where there are some. */
  readonly testAccuracy?: number;
  /** confusion[class][prediction] of the training images, leave-one-out. */
  readonly confusion: readonly (readonly number[])[];
  /** Training images that another class fits better than their label, the surest first. */
  readonly suspects: readonly SuspectedImage[];
  /** Images that are nearly the same: those found by features, the most similar first, then those found by pictures. */
  readonly duplicates: readonly DuplicatePair[];
  /** Training images unlike all others, the farthest first. */
  readonly outliers: readonly (CheckedImage & { readonly leverage: number })[];
  /** Classes that the encoder cannot separate. */
  readonly confused: readonly { readonly classes: readonly [string, string]; readonly share: number }[];
}
