import type { Split } from "./image-source.ts";

/** An icon set of the embedded data set: who drew it, and under which license it may be passed on. */
export interface IconSet {
  /** Name of the npm package without the scope `@iconify-json/`, and prefix of the images' ids. */
  readonly id: string;
  readonly name: string;
  readonly author: string;
  /** SPDX identifier. */
  readonly license: string;
  readonly licenseUrl: string;
  readonly url: string;
  readonly split: Split;
}

/**
 * The icon sets in the order of their images. The test sets were drawn by other hands than the training sets.
 * Every artifact made from them must name them: see each `license`.
 */
export const iconSets: readonly IconSet[] = [
  {
    id: "noto",
    name: "Noto Emoji",
    author: "Google Inc",
    license: "Apache-2.0",
    licenseUrl: "https://github.com/googlefonts/noto-emoji/blob/main/svg/LICENSE",
    url: "https://github.com/googlefonts/noto-emoji",
    split: "train",
  },
  {
    id: "twemoji",
    name: "Twitter Emoji",
    author: "Twitter",
    license: "CC-BY-4.0",
    licenseUrl: "https://creativecommons.org/licenses/by/4.0/",
    url: "https://github.com/jdecked/twemoji",
    split: "train",
  },
  {
    id: "fluent-emoji-flat",
    name: "Fluent Emoji Flat",
    author: "Microsoft Corporation",
    license: "MIT",
    licenseUrl: "https://github.com/microsoft/fluentui-emoji/blob/main/LICENSE",
    url: "https://github.com/microsoft/fluentui-emoji",
    split: "train",
  },
  {
    id: "openmoji",
    name: "OpenMoji",
    author: "OpenMoji",
    license: "CC-BY-SA-4.0",
    licenseUrl: "https://creativecommons.org/licenses/by-sa/4.0/",
    url: "https://github.com/hfg-gmuend/openmoji",
    split: "train",
  },
  {
    id: "emojione",
    name: "Emoji One (Colored)",
    author: "Emoji One",
    license: "CC-BY-4.0",
    licenseUrl: "https://creativecommons.org/licenses/by/4.0/",
    url: "https://github.com/EmojiTwo/emojitwo",
    split: "test",
  },
  {
    id: "fxemoji",
    name: "Firefox OS Emoji",
    author: "Mozilla",
    license: "Apache-2.0",
    licenseUrl: "https://mozilla.github.io/fxemoji/LICENSE.md",
    url: "https://github.com/mozilla/fxemoji",
    split: "test",
  },
];
