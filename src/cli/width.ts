const segmenter = new Intl.Segmenter(undefined, { granularity: "grapheme" });
const zeroWidth = /^[\p{Mn}\p{Me}\p{Cf}\p{Cc}]+$/u;
/** East Asian wide and fullwidth blocks (Unicode Standard Annex 11), and emoji. */
const wide =
  /^(?:[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{1b000}-\u{1b2ff}\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}|\p{Emoji}\ufe0f)/u;

/** The characters of a text as a person counts them. */
function graphemes(text: string): string[] {
  return Array.from(segmenter.segment(text), ({ segment }) => segment);
}

/** Columns that a text takes on a terminal. */
export function displayWidth(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const character of graphemes(text)) {
    if (!zeroWidth.test(character)) width += wide.test(character) ? 2 : 1;
  }
  return width;
}

/** The text, cut to at most `columns` with an ellipsis where it is longer. */
export function truncate(text: string, columns: number): string {
  if (displayWidth(text) <= columns) return text;
  if (columns < 1) return "";
  let kept = "";
  let width = 0;
  for (const character of graphemes(text)) {
    const next = displayWidth(character);
    if (width + next > columns - 1) break;
    kept += character;
    width += next;
  }
  return `${kept.trimEnd()}…`;
}

/** What `wrapText` keeps on one line where there is room for it. */
export const wordsOf = (text: string): string[] => text.split(/(?<=[ /])/).map((word) => word.trimEnd());

/** The text in lines of at most `columns`, broken after a space or a slash where there is one. */
export function wrapText(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = "";
  let breakAt = 0;
  for (const character of graphemes(text)) {
    if (line !== "" && displayWidth(line + character) > columns) {
      const end = breakAt > 0 && character !== " " ? breakAt : line.length;
      lines.push(line.slice(0, end).trimEnd());
      line = line.slice(end).trimStart();
      breakAt = 0;
    }
    if (line === "" && character === " " && lines.length > 0) continue;
    line += character;
    if (character === " " || character === "/") breakAt = line.length;
  }
  return line === "" && lines.length > 0 ? lines : [...lines, line];
}
