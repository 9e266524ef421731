/**
 * Sorts names as a person would ("img2" before "img10"), the same on every machine whatever its locale: runs of
 * digits by value, everything else by UTF-16 code unit, and names equal so far ("1" and "01") by code unit.
 */
export function naturalSort(names: readonly string[]): string[] {
  // Split once per name, not once per comparison: data sets have a million of them.
  const keyed = names.map((name) => ({ name, parts: name.split(/(\d+)/) }));
  keyed.sort((a, b) => byParts(a.parts, b.parts) || byCodeUnit(a.name, b.name));
  return keyed.map(({ name }) => name);
}

function byParts(a: readonly string[], b: readonly string[]): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    // Odd places hold the digits: a name that starts with a digit splits into an empty text first.
    const order = i % 2 === 1 ? byValue(a[i], b[i]) : byCodeUnit(a[i], b[i]);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

function byValue(a: string, b: string): number {
  const digitsOfA = a.replace(/^0+/, "");
  const digitsOfB = b.replace(/^0+/, "");
  return digitsOfA.length - digitsOfB.length || byCodeUnit(digitsOfA, digitsOfB);
}

function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
