/**
 * The license that a model's card (README.md) states in its head: an identifier of the hub, or the name of the
 * model's own license; undefined where it states none.
 */
export function licenseOfCard(text: string): string | undefined {
  const head = /^---\r?\n([\s\S]*?)\r?\n---/.exec(text)?.[1];
  const value = (key: string): string | undefined => {
    const found = new RegExp(`^${key}:[ \\t]*["']?([\\w .+-]+?)["']?[ \\t]*$`, "m").exec(head ?? "")?.[1];
    return found === undefined || found === "" ? undefined : found;
  };
  const license = value("license");
  if (license === undefined) return undefined;
  return license === "other" ? (value("license_name") ?? license) : (spdx[license] ?? license);
}

/** The hub writes SPDX identifiers in lower case. */
const spdx: Readonly<Record<string, string>> = {
  "apache-2.0": "Apache-2.0",
  mit: "MIT",
  "cc-by-nc-4.0": "CC-BY-NC-4.0",
  "cc-by-4.0": "CC-BY-4.0",
  "cc-by-sa-4.0": "CC-BY-SA-4.0",
  "bsd-3-clause": "BSD-3-Clause",
};
