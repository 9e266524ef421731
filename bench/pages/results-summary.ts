/** The answer first: one table over the data sets, of the figures that the sections of docs/results.md have. */

/** Sections whose first table is summed up, as docs/results.md and the summary call them. */
const sections: readonly (readonly [title: string, name: string])[] = [
  ["Emoji, 8 Unicode groups", "emoji, 8 groups"],
  ["Emoji, 56 Unicode subgroups", "emoji, 56 subgroups"],
  ["Fashion-MNIST", "Fashion-MNIST, 10 classes"],
];

const methods = [
  ...["full", "clp", "long", "exact", "clp-long", "clp-mse", "lgm", "sfm", "herding", "random"],
] as const;

export type ProbeColumn = "closed form" | "LGM head" | "tuned head";

const cellsOf = (line: string): string[] =>
  line
    .split("|")
    .slice(1, -1)
    .map((cell) => cell.trim());

/** The first table of a section, a record for each of its rows; undefined where the page has none. */
function tableOf(page: string, title: string): readonly Readonly<Record<string, string>>[] | undefined {
  const section = page.split(/^(?=## )/m).find((text) => text.startsWith(`## ${title}\n`));
  const lines = section?.split("\n") ?? [];
  const first = lines.findIndex((line) => line.startsWith("| method |"));
  if (first < 0) return undefined;
  const [head, , ...rows] = lines.slice(first, lines.indexOf("", first)).map(cellsOf);
  return rows.map((cells) => Object.fromEntries(head!.map((name, index) => [name, cells[index] ?? ""])));
}

/** A method's figure with one image per class; that of the default's steps behind it where the section has other ones. */
function figureOf(rows: readonly Readonly<Record<string, string>>[], method: string, probe: string): string {
  const own = rows.filter((row) => ["1", "all"].includes(row["images a class"] ?? row["images per class"]));
  const named = (pattern: RegExp) =>
    own.find(({ method: name }) => name!.startsWith(method) && pattern.test(name!.slice(method.length)));
  const row = named(/^$/) ?? named(/^, [\d,]+ steps$/);
  const figure = row?.[probe] ?? "–";
  const standard = named(/^, .* \(the default\)$/);
  const shown = method === "clp" ? `**${figure}**` : figure;
  const [steps] = /[\d,]+ steps/.exec(standard?.method ?? "") ?? [];
  return standard === undefined ? shown : `${shown} (${steps}: ${standard[probe]})`;
}

/**
 * Markdown: a row for each data set and probe, a column for each method.
 * @param page docs/results.md
 */
export function resultsSummary(page: string, probes: readonly ProbeColumn[]): string {
  const tables = sections.flatMap(([title, name]) => {
    const rows = tableOf(page, title);
    return rows === undefined ? [] : [{ name, rows }];
  });
  const measured = methods.filter((method) =>
    tables.some(({ rows }) => probes.some((probe) => !figureOf(rows, method, probe).includes("–"))),
  );
  const lines = tables.flatMap(({ name, rows }) =>
    probes.map((probe) => [name, probe, ...measured.map((method) => figureOf(rows, method, probe))]),
  );
  const head = ["data", "probe", ...measured.map((name) => (name === "full" ? "all real images" : name))];
  return [head, head.map((_, index) => (index < 2 ? "---" : "---:")), ...lines]
    .map((cells) => `| ${cells.join(" | ")} |`)
    .join("\n");
}

/** The README with its table of results as docs/results.md has the figures. */
export function withResults(readme: string, page: string): string {
  return readme.replace(
    /(<!-- results -->\n)[\s\S]*?(<!-- \/results -->)/,
    (_, begin: string, end: string) =>
      `${begin}${resultsSummary(page, ["closed form", "tuned head"])}\n${end}`,
  );
}
