/** What a distilled set is compared with, each left as a separate artifact. */
export const baselineKinds = ["random", "centroid", "neighbors", "kmeans", "herding", "full"] as const;
export type BaselineKind = (typeof baselineKinds)[number];
