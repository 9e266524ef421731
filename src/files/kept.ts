/** What something was computed from: plain data. The code that computed it is added. */
export type KeptKey = Readonly<Record<string, unknown>>;

/**
 * Results that can be computed again, kept in the cache folder so that the next command need not. What is read is
 * what was written, by the same code from the same inputs: each entry has its key and the sha256 of its contents, and
 * one that differs counts as absent. Entries appear whole, by a rename, so that any number of processes may keep and
 * take them. The disk may be full or read-only: then nothing is kept.
 */
export interface Kept {
  /** The value of `key`, which `make` computes where it is not kept. Plain data, and arrays of numbers. */
  value<T>(key: KeptKey, make: () => Promise<T>): Promise<T>;
  /**
   * Puts the files of `key` into the folder `into`, which is there; `make` writes them where they are not kept. They are
   * linked, so that processes that map them share memory, and what becomes of the entry meanwhile does not matter.
   */
  files(key: KeptKey, into: string, make: () => Promise<void>): Promise<void>;
}

/** Keeps nothing. */
export const keepNothing: Kept = {
  value: (_, make) => make(),
  files: (_, __, make) => make(),
};

/** The same with `more` in every key. */
export const keptFor = (kept: Kept, more: KeptKey): Kept => ({
  value: (key, make) => kept.value({ ...key, of: more }, make),
  files: (key, into, make) => kept.files({ ...key, of: more }, into, make),
});
