/** Names that Windows keeps for devices. */
const reserved = /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i;
/** File systems allow 255 bytes; a number may be added. */
const mostBytes = 200;

/**
 * Class names as folder names: safe on every system, and never two alike, not even where upper and lower case are
 * one. The true names stand in the manifest.
 */
export function classFolderNames(classes: readonly string[]): string[] {
  const taken = new Set<string>();
  return classes.map((name, index) => {
    const safe = safeName(name) || `class ${index}`;
    let folder = safe;
    for (let k = 2; taken.has(folder.toLowerCase()); k++) folder = `${safe} (${k})`;
    taken.add(folder.toLowerCase());
    return folder;
  });
}

function safeName(name: string): string {
  const plain = trimmed(name.normalize("NFC").replace(/[^\p{L}\p{M}\p{N}._ &+,'()-]+/gu, "_"));
  const short = trimmed(cut(plain));
  return reserved.test(short) ? `_${short}` : short;
}

/** Without the dots and spaces that hide a folder or that Windows drops. */
const trimmed = (name: string): string => name.replace(/^[. ]+|[. ]+$/g, "");

/** As many whole characters as fit. */
function cut(name: string): string {
  let kept = "";
  let bytes = 0;
  for (const character of name) {
    bytes += new TextEncoder().encode(character).length;
    if (bytes > mostBytes) break;
    kept += character;
  }
  return kept;
}
