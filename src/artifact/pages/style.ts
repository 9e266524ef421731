/** The report's style sheet: light or dark as the reader's system asks. */
export const style = `
:root {
  color-scheme: light dark;
  --page: #fbfbfa; --card: #fff; --ink: #1d2228; --soft: #5d6670; --line: #e2e4e6; --accent: #2563a8; --wash: #2563a81f;
}
@media (prefers-color-scheme: dark) {
  :root { --page: #15181c; --card: #1c2026; --ink: #e6e8ea; --soft: #9aa4ae; --line: #323840; --accent: #7db4ec; --wash: #7db4ec29; }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, "Segoe UI", "Noto Sans", "Liberation Sans", "DejaVu Sans", sans-serif; }
main { max-width: 66rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: clamp(1.35rem, 1rem + 1.7vw, 1.95rem); line-height: 1.25; letter-spacing: -.01em; margin: 0 0 .6rem; max-width: 56rem; text-wrap: balance; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2.6rem 0 .8rem; }
p { margin: .4rem 0; max-width: 48rem; overflow-wrap: anywhere; }
a { color: var(--accent); }
.soft { color: var(--soft); }
.small { font-size: .875rem; }
.images { display: grid; grid-template-columns: repeat(auto-fill, minmax(var(--cell), 1fr)); gap: 1rem; }
.images.half { grid-template-columns: repeat(auto-fill, minmax(min(28rem, 100%), 1fr)); column-gap: 2rem; }
.images.whole { grid-template-columns: 1fr; }
.half figcaption, .whole figcaption { margin: 0 0 .3rem; }
figure { margin: 0; min-width: 0; }
figcaption { font-size: .85rem; line-height: 1.3; margin-top: .4rem; overflow-wrap: anywhere; }
.strip { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(var(--cell), 100%), 1fr)); gap: .5rem; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: .25rem; }
.images img { display: block; width: 100%; aspect-ratio: 1; border-radius: 6px; background: var(--line); }
.images.pixelated img { image-rendering: pixelated; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); gap: 1rem; }
.charts > div { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 1rem .75rem .5rem; min-width: 0; }
svg.chart { display: block; width: 100%; height: auto; --plot-background: var(--card); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; font-size: .95rem; }
th { text-align: left; font-weight: 600; font-size: .85rem; color: var(--soft); vertical-align: bottom; }
th, td { padding: .45rem .9rem .45rem 0; border-bottom: 1px solid var(--line); }
th:last-child, td:last-child { padding-right: 0; }
td.number, th.number { text-align: right; white-space: nowrap; padding-right: 1.6rem; }
tr.own td { font-weight: 600; background: var(--wash); }
tr.own td:first-child { box-shadow: -.5rem 0 0 var(--wash); }
tr.own td:last-child { box-shadow: .5rem 0 0 var(--wash); }
.bar { min-width: 5rem; width: 22%; }
.bar div { background: var(--accent); height: .6rem; border-radius: 2px; opacity: .8; }
table.pairs { width: auto; max-width: 100%; }
table.pairs th { color: inherit; font-weight: 400; white-space: nowrap; vertical-align: top; padding-right: 2rem; }
table.pairs td { overflow-wrap: anywhere; }
summary { cursor: pointer; font-weight: 600; font-size: 1.1rem; }
details { margin-top: 2.6rem; }
details table { margin-top: .8rem; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .8rem 1rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .875rem; }
code { font-family: ui-monospace, "SF Mono", "Liberation Mono", "DejaVu Sans Mono", monospace; font-size: .92em; }
ul { padding-left: 1.2rem; margin: .4rem 0; }
footer { margin-top: 2.6rem; padding-top: .8rem; border-top: 1px solid var(--line); }
li { margin: .15rem 0; overflow-wrap: anywhere; }
@media (max-width: 40rem) {
  .images:not(.half):not(.whole) { grid-template-columns: repeat(auto-fill, minmax(min(var(--cell), 45%), 1fr)); }
  main { padding-top: 1.5rem; }
  .bar, .same, .extra { display: none; }
  table { font-size: .9rem; }
  th, td, td.number, th.number { padding-right: .6rem; }
  th:last-child, td:last-child { padding-right: 0; }
  table.pairs th { white-space: normal; padding-right: 1rem; }
}
@media print { main { max-width: none; } .images, .charts { break-inside: avoid; } }
`;
