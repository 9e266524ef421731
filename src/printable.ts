/**
 * Text from outside — names of files, folders, classes, operators and tensors, messages of other programs — as text for
 * people. Everything that the command line or a page shows goes through here.
 */

/**
 * Characters that a terminal or a page would obey instead of showing: controls (escape sequences begin with one), and the
 * marks that turn the direction of text or separate lines. Newlines and tabs are kept.
 */
const obeyed = /(?![\n\t])[\p{Cc}\p{Bidi_Control}\u2028\u2029\ufeff]/gu;

/** The text with every such character written out: an escape becomes `\x1b`. */
export function printable(text: string): string {
  return text.replace(obeyed, (character) => {
    const code = character.codePointAt(0)!;
    return code < 0x100 ? `\\x${hex(code, 2)}` : `\\u${hex(code, 4)}`;
  });
}

/** JSON with the same characters as JSON writes them, so that a line of it can be shown, and read back as it was. */
export function printableJson(value: unknown): string {
  return JSON.stringify(value).replace(obeyed, (character) => `\\u${hex(character.codePointAt(0)!, 4)}`);
}

const hex = (code: number, digits: number): string => code.toString(16).padStart(digits, "0");

/** Text on one line of Markdown, without Markdown or HTML of its own. */
export function inlineMarkdown(text: string): string {
  return printable(text.replace(/\s+/g, " ")).replace(/[\\`*[\]<>#&|~]/g, (character) => {
    const entity = { "<": "&lt;", ">": "&gt;", "&": "&amp;" }[character];
    return entity ?? `\\${character}`;
  });
}

/** Text as code in Markdown: nothing in it is read as Markdown or HTML. Within a table, a bar is still a cell's end. */
export function codeMarkdown(text: string): string {
  const line = printable(text.replace(/\s+/g, " "));
  // As many backticks around it as end no sequence within.
  const longest = Math.max(0, ...(line.match(/`+/g) ?? []).map((run) => run.length));
  const fence = "`".repeat(longest + 1);
  const space = /^`|`$/.test(line) ? " " : "";
  return `${fence}${space}${line}${space}${fence}`;
}
