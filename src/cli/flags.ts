/** The option of each parameter that messages of the library name. */
const flags: Readonly<Record<string, string>> = {
  augmentation: "--augmentation",
  cacheFolder: "--cache-dir",
  data: "--data",
  device: "--device",
  dtype: "--dtype",
  encoder: "--encoder",
  encoders: "--encoder",
  feature: "--feature",
  featureLayout: "--feature-layout",
  from: "--from",
  gray: "--gray",
  "hub.cacheDir": "--hub-cache",
  init: "--init",
  inputLayout: "--input-layout",
  ipc: "--ipc",
  join: "--join",
  lambda: "--lambda",
  leaseSeconds: "--lease",
  learningRate: "--lr",
  maxBad: "--max-bad",
  memoryBytes: "--memory",
  of: "--of",
  out: "--out",
  overwrite: "--overwrite",
  patienceSeconds: "--patience",
  pool: "--pool",
  precision: "--precision",
  preset: "--preset",
  public: "--public",
  resize: "--resize",
  resume: "--resume",
  revision: "--revision",
  shardImages: "--shard-images",
  size: "--size",
  tau: "--tau",
  threads: "--threads",
};

/** Parameters with a value that have their own option. */
const switches: Readonly<Record<string, string>> = { "augmentation: off": "--no-augmentation" };

/**
 * A message of the library in the words of the command line: `size` becomes --size, `size: 64` --size 64, and
 * `resume: true` --resume. What else stands in backquotes is left as it is.
 */
export function inFlags(message: string): string {
  return message.replace(/`([A-Za-z.]+)(?:: ([^`]+))?`/g, (whole, name: string, text: string | undefined) => {
    const flag = Object.hasOwn(flags, name) ? flags[name] : undefined;
    if (flag === undefined) return whole;
    if (text === undefined || text === "true") return flag;
    const value = unquoted(text);
    return switches[`${name}: ${value}`] ?? `${flag} ${forShell(value)}`;
  });
}

function unquoted(text: string): string {
  if (text.startsWith('"')) return JSON.parse(text) as string;
  return text.startsWith("'") ? text.slice(1, -1) : text;
}

/** A value as a shell takes it. */
const forShell = (value: string): string =>
  /^[\w./:-]+$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`;
