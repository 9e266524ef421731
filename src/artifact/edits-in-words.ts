import type { Manifest } from "./manifest.ts";

/** Shares of the accuracy as it is up to which an edit is borne, and from which on it is not. */
const borne = 0.05;
const notBorne = 0.2;

/** One sentence: which edits a set's images bear, and which they do not. */
export function editsInWords(top1: number, edits: NonNullable<Manifest["metrics"]["edits"]>): string {
  const lost = (share: number) => 1 - share / top1;
  const named = (keep: (loss: number) => boolean) =>
    edits.each.filter((edit) => keep(lost(edit.top1))).map(({ name }) => name);
  const groups = [
    { what: "keep their worth (at most 5 % of it lost) through", names: named((loss) => loss <= borne) },
    { what: "lose some by", names: named((loss) => loss > borne && loss <= notBorne) },
    { what: "do not bear (over 20 % lost)", names: named((loss) => loss > notBorne) },
  ].filter(({ names }) => names.length > 0);
  return `The images ${groups.map(({ what, names }) => `${what}: ${names.join(", ")}`).join("; they ")}.`;
}
