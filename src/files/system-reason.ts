import { messageOf } from "../errors.ts";

const openFiles =
  "the limit of open files is reached. Raise it with `ulimit -n 1024`, or give fewer `threads`";

/** What the system's refusals mean to the person. */
const reasons: Readonly<Record<string, string>> = {
  EROFS: "the disk is read-only",
  ENOSPC: "the disk is full",
  EDQUOT: "the disk is full, or your quota of it",
  EACCES: "you may not write there",
  EPERM: "you may not write there",
  EFBIG: "the file would be larger than the limit of the system or shell (`ulimit -f`) allows",
  EMFILE: openFiles,
  ENFILE: openFiles,
};

/**
 * What an error of the system is about, in words; undefined where there are none for it. An error that came from another
 * process, or from a native library, has its code in its message alone.
 */
export function systemReason(error: unknown): string | undefined {
  const { code = "" } = error as NodeJS.ErrnoException;
  if (Object.hasOwn(reasons, code)) return reasons[code];
  return /EMFILE|ENFILE|too many open files/i.test(messageOf(error)) ? openFiles : undefined;
}
