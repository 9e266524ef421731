/** The order of an image's or a map's axes: channels before height and width, or behind them. */
export const layouts = ["nchw", "nhwc"] as const;
export type Layout = (typeof layouts)[number];

/**
 * How colors become gray: `luma` is 0.299 R + 0.587 G + 0.114 B, as Pillow's "L" and torchvision's Grayscale have it;
 * `average` the mean of the three.
 */
export const grays = ["luma", "average"] as const;
export type Gray = (typeof grays)[number];

/** What a model's file may leave unsaid about its input and its feature. */
export interface ModelForm {
  /** Axes of the image input (default: as the graph has it). */
  readonly inputLayout?: Layout | undefined;
  /** Axes of a feature map, or of tokens: with `nchw` channels come first (default: as the graph has it). */
  readonly featureLayout?: Layout | undefined;
  /** How colors become gray for a model of gray images. */
  readonly gray?: Gray | undefined;
}

/** The parts of a model's form that are given. */
export function givenForm({ inputLayout, featureLayout, gray }: ModelForm): ModelForm {
  return {
    ...(inputLayout ? { inputLayout } : {}),
    ...(featureLayout ? { featureLayout } : {}),
    ...(gray ? { gray } : {}),
  };
}
