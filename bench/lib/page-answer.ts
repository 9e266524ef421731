import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { inChromium } from "./in-chromium.ts";
import { bundleForPage, ortFolder } from "./page-bundle.ts";

/** Features row by row, with class indices. */
interface Rows {
  readonly features: Float32Array;
  readonly labels: Int32Array;
}

/** What the page's closed form takes and gives. */
export interface PageAnswer {
  /** With the start of the runtime, and without. */
  readonly firstSeconds: number;
  readonly seconds: number;
  readonly accuracy: number;
}

/** Solves the page's probe on `train` in Chromium, and classifies `test`. @param folder for files; the caller's to remove */
export async function answerInPage(
  folder: string,
  {
    train,
    test,
    ...given
  }: {
    readonly threads: number;
    readonly featureSize: number;
    readonly classes: number;
    readonly train: Rows;
    readonly test: Rows;
  },
): Promise<PageAnswer> {
  const script = join(folder, "script");
  await writeFile(join(folder, "train"), train.features);
  await writeFile(join(folder, "test"), test.features);
  await bundleForPage("bench/lib/page-answer-script.ts", script);
  const question = { ...given, labels: [...train.labels], testLabels: [...test.labels] };
  return inChromium({ script, data: folder, ort: ortFolder }, async (page) => {
    await page.evaluate(`import("/script/page.js")`);
    return page.evaluate<PageAnswer>(`solveAnswer(${JSON.stringify(question)})`);
  });
}
