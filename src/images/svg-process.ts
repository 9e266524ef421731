/**
 * A process that draws SVG documents and can be ended: a filter of a few bytes may draw for hours, and nothing stops
 * librsvg within its thread.
 */
import { drawSvg } from "./draw-svg.ts";

export interface SvgTask {
  readonly bytes: Uint8Array;
  readonly density: number;
  readonly maxPixels: number;
}
export type SvgAnswer =
  | { readonly ready: true }
  | { readonly width: number; readonly height: number; readonly data: Uint8Array }
  | { readonly failed: string };

const answer = (message: SvgAnswer) => process.send?.(message);

process.on("message", (task: SvgTask) => {
  drawSvg(task.bytes, task.density, task.maxPixels).then(answer, (error: unknown) =>
    answer({ failed: error instanceof Error ? error.message : String(error) }),
  );
});
// Whoever asked is gone.
process.on("disconnect", () => process.exit());
answer({ ready: true });
