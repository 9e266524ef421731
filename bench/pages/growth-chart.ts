import { dot, line, plot, text } from "@observablehq/plot";
import { parseHTML } from "linkedom";
import type { Growth } from "../runs/growth.ts";

/** Time and peak memory against the growth of each quantity, both axes logarithmic, as an SVG file. */
export function growthSvg(growth: readonly Growth[]): string {
  const rows = growth.flatMap(({ axis, points }) =>
    points.flatMap(({ value, msPerStep, peakMemoryBytes }) => {
      const factor = value / points[0].value;
      const name = axis.split(",")[0];
      return [
        { name, factor, what: "time of a step", times: msPerStep / points[0].msPerStep },
        { name, factor, what: "peak memory", times: peakMemoryBytes / points[0].peakMemoryBytes },
      ];
    }),
  );
  const ends = rows.filter((row) => row.factor === Math.max(...rows.map((r) => r.factor)));
  const { document } = parseHTML("<!doctype html><html><body></body></html>");
  const axes = { x: "factor", y: "times", fx: "what" };
  const factors = [...new Set(rows.map((row) => row.factor))];
  const straight = ["time of a step", "peak memory"].flatMap((what) =>
    factors.map((factor) => ({ what, factor, times: factor })),
  );
  const svg = plot({
    document: document as unknown as Document,
    className: "growth",
    ariaLabel: "Growth of time and memory with each quantity",
    width: 760,
    height: 320,
    marginRight: 130,
    marginLeft: 50,
    style: { fontSize: "12px", background: "white", color: "black" },
    x: { type: "log", base: 2, label: "the quantity, times its first value", ticks: factors },
    y: { type: "log", base: 2, label: "times the first", grid: true },
    fx: { label: null, domain: ["time of a step", "peak memory"] },
    color: { scheme: "observable10" },
    marks: [
      line(straight, { ...axes, stroke: "#999", strokeDasharray: "4 4" }),
      line(rows, { ...axes, stroke: "name" }),
      dot(rows, { ...axes, fill: "name", r: 3 }),
      text(ends, { ...axes, text: "name", fill: "name", textAnchor: "start", dx: 6 }),
    ],
  }) as unknown as Element;
  svg.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  svg.setAttribute("font-family", "sans-serif");
  return `${svg.outerHTML}\n`;
}
