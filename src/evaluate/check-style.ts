/** What the page of a check adds to the reports' style sheet. */
export const checkStyle = `
:root { --warn: #b45309; }
@media (prefers-color-scheme: dark) { :root { --warn: #f0a65c; } }
section { scroll-margin-top: 1rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(11rem, 45%), 1fr)); gap: .75rem; margin: 1.4rem 0 0; }
.tiles a { display: block; background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .7rem .9rem; color: inherit; text-decoration: none; line-height: 1.3; }
.tiles a:hover { border-color: var(--accent); }
.tiles b { display: block; font-size: 1.5rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.tiles small { display: block; color: var(--soft); }
.findings { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); gap: .75rem; margin-top: .8rem; }
.findings.pairs, .findings.strips { grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); }
.findings figure { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .6rem; }
.findings figure.sure { border-color: var(--warn); box-shadow: inset 0 3px 0 var(--warn); }
.findings figcaption { font-size: .8rem; margin-top: .5rem; }
.findings figcaption .soft:not(small) { white-space: nowrap; }
.findings small { font-size: .72rem; }
.findings s { text-decoration-color: var(--warn); text-decoration-thickness: 2px; }
mark { background: none; color: var(--warn); font-weight: 600; }
.thumb { display: block; width: 100%; aspect-ratio: 1; object-fit: contain; border-radius: 4px; background: #fff; }
.findings > figure > .thumb { max-width: 6rem; margin: 0 auto; }
.thumb.none { display: grid; place-items: center; background: var(--line); color: var(--soft); font-size: .7rem; text-align: center; }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: .4rem; }
.four { display: grid; grid-template-columns: repeat(4, 1fr); gap: .3rem; }
table.matrix { width: auto; border-collapse: separate; border-spacing: 2px; font-size: .75rem; }
table.matrix th, table.matrix td { padding: 3px; border: 0; text-align: center; }
table.matrix td { min-width: 3.6rem; width: 5rem; border-radius: 4px; background: var(--wash); vertical-align: top; color: var(--ink); }
table.matrix thead td, table.matrix td:empty { background: none; }
table.matrix td.right { background: color-mix(in srgb, var(--accent) var(--tint), transparent); }
table.matrix td.wrong { background: color-mix(in srgb, var(--warn) var(--tint), transparent); }
table.matrix td > div { display: grid; grid-template-columns: repeat(auto-fit, minmax(1.9rem, 1fr)); gap: 2px; margin-bottom: 2px; }
table.matrix th { font-size: .75rem; line-height: 1.2; }
table.matrix th[scope=row] { position: sticky; left: 0; z-index: 1; background: var(--page); text-align: right; vertical-align: middle; max-width: 9rem; padding-right: .5rem; overflow-wrap: anywhere; }
table.matrix th[scope=col] { vertical-align: bottom; }
table.matrix th[scope=col] span { writing-mode: vertical-rl; transform: rotate(180deg); max-height: 9rem; overflow-wrap: anywhere; text-align: left; }
@media (max-width: 40rem) {
  .findings { grid-template-columns: repeat(auto-fill, minmax(min(7rem, 45%), 1fr)); }
  .findings.pairs, .findings.strips { grid-template-columns: repeat(auto-fill, minmax(min(10rem, 100%), 1fr)); }
  table.matrix th[scope=row] { max-width: 5rem; }
}
`;
