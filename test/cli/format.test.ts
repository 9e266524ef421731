import { expect, test } from "vitest";
import {
  formatBytes,
  formatCount,
  formatMany,
  formatMeanStd,
  formatPercent,
  formatSeconds,
} from "../../src/format.ts";

test.each([
  [0, "0 B"],
  [1023, "1023 B"],
  [1024, "1.00 KiB"],
  [1536, "1.50 KiB"],
  [10 * 1024, "10.0 KiB"],
  [512 * 2 ** 20, "512 MiB"],
  [2 ** 30 - 1, "1.00 GiB"],
  [3 * 2 ** 50, "3072 TiB"],
])("%d bytes are %s", (bytes, text) => expect(formatBytes(bytes)).toBe(text));

test.each([
  [0.4249, "0.42 s"],
  [9.994, "9.99 s"],
  [9.995, "10.0 s"],
  [59.94, "59.9 s"],
  [59.96, "1 min 00 s"],
  [185, "3 min 05 s"],
  [3599.6, "1 h 00 min"],
  [7380, "2 h 03 min"],
])("%d seconds are %s", (seconds, text) => expect(formatSeconds(seconds)).toBe(text));

test("shares are shown in percent, with a deviation where there is one", () => {
  expect(formatPercent(0.4984)).toBe("49.8 %");
  expect(formatPercent(0.4984, 0)).toBe("50 %");
  expect(formatPercent(Number.NaN)).toBe("–");
  expect(formatMeanStd(0.2, 0.0125)).toBe("20.0 ± 1.3 %");
  expect(formatMeanStd(0.2, undefined)).toBe("20.0 %");
  expect(formatCount(1234567)).toBe("1,234,567");
});

test("one thing is not several", () => {
  expect([0, 1, 1000].map((count) => formatMany(count, "cell"))).toEqual([
    "0 cells",
    "1 cell",
    "1,000 cells",
  ]);
});
