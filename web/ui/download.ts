import { fileSave } from "browser-fs-access";

/** Hands a file to the person: a dialog where the browser has one, a download elsewhere. */
export async function download(bytes: Uint8Array<ArrayBuffer>, fileName: string): Promise<void> {
  try {
    await fileSave(new Blob([bytes], { type: "application/zip" }), { fileName, extensions: [".zip"] });
  } catch (error) {
    // Closing the dialog is no failure.
    if ((error as DOMException).name !== "AbortError") throw error;
  }
}
