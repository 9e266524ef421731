import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Writes a campaign's figures into docs/reliability.md, with the command that gave them and its date. */
export async function writeFigures(
  campaign: "fuzz" | "torture" | "soak",
  lines: readonly string[],
): Promise<void> {
  const page = join(process.cwd(), "docs/reliability.md");
  const [begin, end] = [`<!-- figures: ${campaign} -->`, `<!-- end: ${campaign} -->`];
  const text = await readFile(page, "utf8");
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${page} has no place for the figures of ${campaign}`);
  const given = process.argv.slice(2).filter((argument) => argument !== "--page");
  const script = campaign === "soak" ? "torture" : campaign;
  const command = `npm run ${script}${given.length > 0 ? ` -- ${given.join(" ")}` : ""}`;
  const block = [
    begin,
    `\`${command}\`, ${new Date().toISOString().slice(0, 10)}:`,
    "```",
    ...lines,
    "```",
    end,
  ];
  await writeFile(page, `${text.slice(0, from)}${block.join("\n")}${text.slice(to + end.length)}`);
}
