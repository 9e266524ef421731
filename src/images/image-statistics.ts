/** Means and standard deviations of RGB channels in [0, 1] that encoders' images are normalized with. */
export const imageStatistics = {
  imagenet: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
  halves: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] },
  openai: { mean: [0.48145466, 0.4578275, 0.40821073], std: [0.26862954, 0.26130258, 0.27577711] },
  ones: { mean: [1, 1, 1], std: [1, 1, 1] },
  none: { mean: [0, 0, 0], std: [1, 1, 1] },
} as const;
