import sharp from "sharp";
import type { Dropped } from "./chromium.ts";

const kinds = {
  circle: (x: number, y: number, color: string) => `<circle cx="${x}" cy="${y}" r="38" fill="${color}"/>`,
  square: (x: number, y: number, color: string) =>
    `<rect x="${x - 34}" y="${y - 34}" width="68" height="68" fill="${color}"/>`,
  stripes: (x: number, y: number, color: string) =>
    `<path d="M${x - 44} ${y}h88M${x - 44} ${y - 24}h88M${x - 44} ${y + 24}h88" stroke="${color}" stroke-width="9"/>`,
};
export type Kind = keyof typeof kinds;
export const shapeKinds = Object.keys(kinds) as Kind[];

/** A drawing of a kind, 160 × 140 px, its colors and place by its number. */
export function shape(kind: Kind, number: number): Promise<Buffer> {
  const [x, y] = [60 + ((number * 13) % 40), 55 + ((number * 29) % 30)];
  const drawn = kinds[kind](x, y, `hsl(${(number * 83) % 360} 70% 40%)`);
  const ground = `<rect width="160" height="140" fill="hsl(${(number * 47) % 360} 40% 86%)"/>`;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="160" height="140">${ground}${drawn}</svg>`;
  return sharp(Buffer.from(svg)).png().toBuffer();
}

/** A folder of drawings with a sub-folder for each kind. @param from number of the first drawing */
export async function shapeFolder(each: number, from = 0): Promise<Dropped[]> {
  const files: Dropped[] = [];
  for (const kind of shapeKinds) {
    for (let k = 0; k < each; k++) {
      files.push({ path: `shapes/${kind}/${k}.png`, bytes: await shape(kind, from + k) });
    }
  }
  return files;
}
