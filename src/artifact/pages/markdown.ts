import type { Manifest } from "../manifest.ts";

/** Numbers of a card, with six digits. */
export const rounded = (values: readonly number[]): string =>
  values.map((value) => Number(value.toPrecision(6))).join(", ");

/** The hub's identifiers. A share-alike license among the sources binds what is made of them all. */
export function cardLicenses(licenses: Manifest["data"]["licenses"]): string[] {
  // Anything else would be YAML of its own.
  const all = [...new Set(licenses.map(({ spdx }) => spdx.toLowerCase()))].map((id) =>
    /^[a-z0-9][a-z0-9.+-]*$/.test(id) ? id : "other",
  );
  if (all.length === 0) return ["unknown"];
  const shareAlike = all.filter((id) => /-sa-/.test(id));
  // Newer versions of a share-alike license may be used for older ones, not the other way.
  return shareAlike.length > 0 ? [shareAlike.sort().at(-1)!] : all;
}
