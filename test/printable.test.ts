import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { codeMarkdown, inlineMarkdown, printable, printableJson } from "../src/printable.ts";

describe("text from outside", () => {
  it("has its escapes written out, and keeps lines, letters and emoji as they are", () => {
    expect(printable("a\u001b[31mb\u0007\u009bc\r\n\u202ed é 🐈‍⬛\tz")).toBe(
      "a\\x1b[31mb\\x07\\x9bc\\x0d\n\\u202ed é 🐈‍⬛\tz",
    );
  });

  it("as JSON holds nothing that a terminal obeys, and is read back as it was", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const line = printableJson({ text });
        expect(line).not.toMatch(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]/u);
        expect(JSON.parse(line)).toEqual({ text });
      }),
    );
  });

  it("has no Markdown or HTML of its own", () => {
    expect(inlineMarkdown("<img src=x> **a** [b](c) | `d`\n# e & f")).toBe(
      "&lt;img src=x&gt; \\*\\*a\\*\\* \\[b\\](c) \\| \\`d\\` \\# e &amp; f",
    );
    expect(codeMarkdown("a`b``c")).toBe("```a`b``c```");
    expect(codeMarkdown("`a")).toBe("`` `a ``");
  });
});
