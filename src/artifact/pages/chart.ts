import { lineY, plot, ruleY } from "@observablehq/plot";
import { parseHTML } from "linkedom";

/** A curve over the steps of a run. */
export interface Chart {
  /** What is drawn, for those who cannot see it. */
  readonly title: string;
  /** Label of the vertical axis, with its unit. */
  readonly label: string;
  readonly points: readonly { readonly step: number; readonly value: number }[];
  /** Whether the axis begins at zero. */
  readonly fromZero: boolean;
}

/** More points than this are thinned evenly: the drawing is about 500 px wide. */
const mostPoints = 600;

/** About as many ticks have the steps. */
const stepTicks = 6;

/** A static SVG in the colors of the page it is put in. */
export function chartSvg({ title, label, points, fromZero }: Chart): string {
  const { document } = parseHTML("<!doctype html><html><body></body></html>");
  const every = Math.ceil(points.length / mostPoints);
  const shown = points.filter((_, i) => i % every === 0 || i === points.length - 1);
  // A run of few steps has one tick each: ticks between them would be shown as the same number again.
  const span = (points.at(-1)?.step ?? 0) - (points[0]?.step ?? 0);
  const ticks = Math.max(1, Math.min(stepTicks, span));
  const svg = plot({
    document: document as unknown as Document,
    // Plot's own sheet goes by class name.
    className: "chart",
    ariaLabel: title,
    width: 420,
    height: 240,
    marginTop: 28,
    marginLeft: 48,
    marginRight: 16,
    marginBottom: 40,
    style: { fontSize: "12px" },
    x: { label: "step →", labelArrow: "none", ticks, tickFormat: ",d" },
    y: { label: `↑ ${label}`, labelArrow: "none", grid: true, ticks: 5, nice: true, zero: fromZero },
    marks: [
      ...(fromZero ? [ruleY([0], { strokeOpacity: 0.4 })] : []),
      lineY(shown, { x: "step", y: "value", stroke: "var(--accent)", strokeWidth: 1.8 }),
    ],
  }) as unknown as Element;
  svg.setAttribute("role", "img");
  return svg.outerHTML;
}
