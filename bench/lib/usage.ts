import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** What a script says of itself and its options: the comment that it begins with. @param metaUrl its `import.meta.url` */
export function usageOf(metaUrl: string): string {
  const text = readFileSync(fileURLToPath(metaUrl), "utf8");
  const comment = /^\/\*\*\n([\s\S]*?)\n \*\//.exec(text);
  if (comment === null) throw new Error(`${metaUrl} begins with no comment`);
  return `${comment[1].replace(/^ \* ?/gm, "")}\n`;
}
