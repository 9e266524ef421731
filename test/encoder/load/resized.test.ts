import { expect, it } from "vitest";
import { resized } from "../../../src/encoder/load/resized.ts";
import { Preprocessing } from "../../../src/images/preprocess.ts";

const withResize = (resize: Preprocessing["resize"]) =>
  Preprocessing.parse({ resize, crop: [224, 224], mean: [0, 0, 0], std: [1, 1, 1] });

it.each([[256], [224], [[256, 240] as [number, number]], [null]])(
  "the encoder's own size, given explicitly, changes nothing about a resize to %j",
  (resize) => {
    expect(resized(withResize(resize), { size: 224 })).toEqual(withResize(resize));
  },
);

it("another size scales the shorter edge with it: 256 · 128 / 224, rounded", () => {
  expect(resized(withResize(256), { size: 128 })).toMatchObject({ resize: 146, crop: [128, 128] });
});

it("a resize that is given is taken as it is", () => {
  expect(resized(withResize(256), { size: 128, resize: 128 })).toMatchObject({
    resize: 128,
    crop: [128, 128],
  });
});
