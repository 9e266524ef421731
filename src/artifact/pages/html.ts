import { printable } from "../../printable.ts";

/** A piece of HTML that is already safe. */
export interface Html {
  readonly html: string;
}

/** What a template takes: text (escaped), safe pieces (kept), lists of either; undefined is nothing. */
export type Content = string | number | Html | undefined | readonly Content[];

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Text for use between tags or in a quoted attribute. */
export function escapeHtml(text: string): string {
  return printable(text).replace(/[&<>"']/g, (character) => entities[character]);
}

/** A template whose values are escaped unless they are HTML themselves. */
export function html(strings: TemplateStringsArray, ...values: readonly Content[]): Html {
  return {
    html: strings.reduce((before, text, i) => before + rendered(values[i - 1]) + text),
  };
}

/** HTML that was made elsewhere and is known to be safe. */
export function trusted(markup: string): Html {
  return { html: markup };
}

function rendered(content: Content): string {
  if (content === undefined) return "";
  if (typeof content === "string") return escapeHtml(content);
  if (typeof content === "number") return String(content);
  if (isList(content)) return content.map(rendered).join("");
  return content.html;
}

const isList = (content: Html | readonly Content[]): content is readonly Content[] => Array.isArray(content);

/** A link where `url` is one of the web; plain text otherwise (such as "javascript:"). */
export function link(url: string, text: string): Html {
  return /^https?:\/\//i.test(url) ? html`<a href="${url}" rel="noreferrer">${text}</a>` : html`${text}`;
}
