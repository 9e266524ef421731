import { expect, it } from "vitest";
import { checkHtml } from "../../src/evaluate/check-page.ts";
import {
  mostMatrixClasses,
  pictureKey,
  shownCells,
  shownDuplicates,
  shownFindings,
  shownImages,
} from "../../src/evaluate/check-pictures.ts";
import type { CheckedImage, DataCheck } from "../../src/evaluate/data-check.ts";

const image = (name: string, split: "train" | "test" = "train"): CheckedImage => {
  return { split, image: name, class: `<b>${name[0]}` };
};
const pair = (a: CheckedImage, b: CheckedImage, similarity = 0.97) => {
  return { first: a, second: b, similarity, by: "features" as const, leak: a.split !== b.split };
};

function checkOf(classes: number, more: Partial<DataCheck> = {}): DataCheck {
  return {
    data: "a & b",
    encoder: "e",
    classes: Array.from({ length: classes }, (_, c) => ({ name: `<i>${c}`, train: 2, accuracy: 0.5 })),
    accuracy: 0.5,
    lambda: 1,
    confusion: Array.from({ length: classes }, (_, a) =>
      Array.from({ length: classes }, (_, b) => (a === b ? 1 : b === (a + 1) % classes ? 1 : 0)),
    ),
    suspects: [],
    duplicates: [],
    outliers: [],
    confused: [],
    ...more,
  };
}
const predictionsOf = (classes: number) => ({
  labels: Int32Array.from({ length: 2 * classes }, (_, row) => row >> 1),
  predicted: Int32Array.from({ length: 2 * classes }, (_, row) => ((row >> 1) + (row % 2)) % classes),
  confidence: new Float64Array(2 * classes),
});

it("a page has no markup of the names of classes and files, and no script", () => {
  const bad = image('x"><script>alert(1)</script>.png');
  const found = checkOf(3, {
    suspects: [{ ...bad, suggested: "<u>", labelProbability: 0, suggestedProbability: 1, confident: true }],
    duplicates: [pair(bad, image("y'<s>", "test"))],
    outliers: [{ ...bad, leverage: 0.5 }],
    confused: [{ classes: ["<i>0", "<i>1"], share: 0.3 }],
  });
  const cells = shownCells(found, predictionsOf(3), () => bad);
  const thumbnails = new Map([[pictureKey(bad), "data:image/webp;base64,AAAA"]]);
  const page = checkHtml(found, { cells, thumbnails });
  for (const text of ["<script", "<b>x", "<i>0", "<u>", "y'<s>"]) expect(page, text).not.toContain(text);
  expect(page).toContain("x&quot;&gt;&lt;script&gt;");
  expect(page).toContain("a &amp; b");
  // The image is shown, and of the other one, which has no picture, its name.
  expect(page).toContain('src="data:image/webp;base64,AAAA"');
  expect(page).toContain("y&#39;&lt;s&gt;");
});

it("a pair that its pictures found has their correlation, and how they are aligned", () => {
  const found = { by: "picture", correlation: 0.9876, alignment: "mirrored" } as const;
  const duplicates = [
    { ...pair(image("a"), image("b", "test"), 0.6123), ...found },
    { ...pair(image("c"), image("d"), 0.62), ...found, correlation: 0.9765 },
  ];
  const page = checkHtml(checkOf(2, { duplicates }), { cells: [], thumbnails: new Map() });
  expect(page).toContain("0.988 mirrored");
  expect(page).toContain("0.977 mirrored");
  expect(page).not.toContain("0.612");
});

it("few classes have a matrix, many a list of the most frequent confusions", () => {
  const cellsOf = (classes: number) =>
    shownCells(checkOf(classes), predictionsOf(classes), (row) => image(`r${row}`));
  expect(cellsOf(mostMatrixClasses).length).toBe(2 * mostMatrixClasses);
  const many = cellsOf(mostMatrixClasses + 1);
  expect(many.length).toBe(shownFindings.confusions);
  expect(many.every(({ label, predicted }) => label !== predicted)).toBe(true);
  for (const { label, images } of many) expect(images.map((i) => i.image)).toEqual([`r${2 * label + 1}`]);
});

it("near-duplicates are joined into groups, leaks come first, and pictures are bounded", () => {
  const [a, b, c, d] = ["a", "b", "c", "d"].map((name) => image(name));
  const leak = pair(a!, image("t", "test"), 0.96);
  const { leaks, groups, groupCount } = shownDuplicates([
    ...[pair(a!, b!, 0.99), pair(c!, d!, 0.98)],
    ...[leak, pair(b!, c!, 0.95)],
  ]);
  expect(leaks).toEqual([leak]);
  expect(groupCount).toBe(1);
  expect(groups[0]!.images.map((i) => i.image).sort()).toEqual(["a", "b", "c", "d"]);
  expect(groups[0]!.best.similarity).toBe(0.99);

  const suspects = Array.from({ length: 10_000 }, (_, i) => {
    return {
      ...image(`s${i}`),
      suggested: "x",
      labelProbability: 0,
      suggestedProbability: 1,
      confident: true,
    };
  });
  const duplicates = suspects.map((s, i) => pair(s, image(`d${i}`)));
  const shown = shownImages(checkOf(2, { suspects, duplicates }), []);
  expect(shown.length).toBeLessThanOrEqual(shownFindings.suspects + 2 * shownFindings.pairs);
});
