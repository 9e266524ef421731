import type { DistillConfig } from "../recipe/config.ts";

/** What says how an image is seen in a step. */
type ViewSettings = Pick<DistillConfig, "augment" | "clean">;

/** Views of each synthetic image per step: the image as it is (first, where it is one of them), then augmented draws. */
export const viewCount = (config: ViewSettings): number => config.augment + cleanViews(config);

/** The augmented draw that view `view` is, from 0; undefined for the image as it is. */
export function drawOf(config: ViewSettings, view: number): number | undefined {
  const draw = view - cleanViews(config);
  return draw < 0 ? undefined : draw;
}

const cleanViews = ({ augment, clean }: ViewSettings): number => (clean || augment === 0 ? 1 : 0);
