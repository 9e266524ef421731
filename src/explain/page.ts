import { html } from "../artifact/pages/html.ts";
import { htmlPage } from "../artifact/pages/page.ts";
import { formatCount, formatMany, formatPercent } from "../format.ts";

/** What a classification's page shows of a photo. */
export interface ShownPhoto {
  readonly image: string;
  readonly class: string;
  /** Whether it may be of none of the classes. */
  readonly unknown: boolean;
  /** The likeliest classes, the best first; a probability is absent where the set records no temperature. */
  readonly ranked: readonly {
    readonly class: string;
    readonly score: number;
    readonly probability?: number;
  }[];
  /** PNGs: what the encoder sees, and Grad-CAM laid over it. */
  readonly view: Uint8Array;
  readonly overlay: Uint8Array;
}

export interface ClassificationPage {
  /** Folder of the set. */
  readonly set: string;
  readonly photos: readonly ShownPhoto[];
  /** Photos that were classified; the page may show fewer. */
  readonly total: number;
  /** Those that could not be read, with the reason. */
  readonly unreadable: readonly { readonly image: string; readonly reason: string }[];
  /** Where Grad-CAM looks: "head.relu6, a map [1280, 7, 7]". */
  readonly tensor: string;
}

const photoStyle = `
.photos { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(21rem, 100%), 1fr)); gap: 1.5rem; }
.photos img { display: block; width: 100%; aspect-ratio: 1; object-fit: contain; border-radius: 6px; background: var(--line); }
.photos td:first-child { width: 45%; overflow-wrap: anywhere; }
`;

const dataUri = (png: Uint8Array): string => `data:image/png;base64,${Buffer.from(png).toString("base64")}`;

/** A page that holds all that it shows: photos, their classes, and what in them speaks for these. */
export function classificationPage({ set, photos, total, unreadable, tensor }: ClassificationPage): string {
  const counts = new Map<string, number>();
  for (const photo of photos) counts.set(photo.class, (counts.get(photo.class) ?? 0) + 1);
  const summary = [...counts].sort((a, b) => b[1] - a[1]).map(([name, count]) => `${name} ${count}`);
  const title = `${formatMany(total, "photo")}, classified`;
  return htmlPage(
    title,
    html`<h1>${title}</h1>
<p class="soft">By the probe of ${set}. Left: what the encoder sees. Right: which places of it speak for the class (Grad-CAM at ${tensor}).</p>
<p class="soft small">${summary.slice(0, 20).join(" · ")}${
      photos.length < total ? html` · the first ${formatCount(photos.length)} are shown` : ""
    }</p>
<div class="photos">
${photos.map(photoFigure)}
</div>
${
  unreadable.length === 0
    ? ""
    : html`<h2>Not readable</h2><ul class="small">${unreadable.map(
        ({ image, reason }) => html`<li>${reason.includes(image) ? reason : `${image}: ${reason}`}</li>`,
      )}</ul>`
}`,
    photoStyle,
  );
}

function photoFigure({ image, class: name, unknown, ranked, view, overlay }: ShownPhoto) {
  const rows = ranked.map(({ class: label, score, probability }) => {
    const width = (100 * (probability ?? 0)).toFixed(1);
    return html`<tr><td>${label}</td><td class="bar"><div style="width:${width}%"></div></td><td class="number">${
      probability === undefined ? score.toFixed(3) : formatPercent(probability)
    }</td></tr>`;
  });
  return html`<figure>
<div class="pair"><img src="${dataUri(view)}" alt="${image}"><img src="${dataUri(overlay)}" alt="what speaks for ${name}"></div>
<figcaption><strong>${unknown ? `none of these (${name}?)` : name}</strong><br><span class="soft">${image}</span></figcaption>
<table>${rows}</table>
</figure>`;
}
