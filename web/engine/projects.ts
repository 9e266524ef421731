import type { ProjectSummary } from "./protocol.ts";
import { recordsOf } from "./records.ts";
import { projectsFolder, Storage } from "./storage.ts";

/** The file with a project's name, so that a list of them needs no journals. */
export const nameFile = "name.txt";

/** The journal of a project in the file that it is saved to: page and library know such a file by this name. */
const journalEntry = "clp-dd-project";

/** All projects, by name; none where the browser has no private file system. */
export async function listProjects(): Promise<ProjectSummary[]> {
  const found: ProjectSummary[] = [];
  try {
    const folder = await projectsFolder();
    for await (const [id, handle] of folder.entries()) {
      if (handle.kind !== "directory") continue;
      const name = await (handle as FileSystemDirectoryHandle)
        .getFileHandle(nameFile)
        .then((file) => file.getFile())
        .then((file) => file.text())
        .catch(() => "");
      found.push({ id, name });
    }
  } catch {
    return [];
  }
  return found.sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
}

/** Makes a project of files, such as its encoder. @returns its id */
export async function makeProject(
  files: Readonly<Record<string, Uint8Array>>,
  journal?: Uint8Array,
): Promise<string> {
  const id = crypto.randomUUID();
  const storage = await Storage.open(id);
  if (storage === undefined) throw new Error("This browser gives no place to keep a project in.");
  if (journal) await storage.replace(journal);
  for (const [name, bytes] of Object.entries(files)) await storage.write(name, bytes);
  storage.close();
  return id;
}

export async function removeProject(id: string): Promise<void> {
  await (await projectsFolder()).removeEntry(id, { recursive: true });
}

/** The files of a project as it is saved to one. */
export async function projectFiles(storage: Storage): Promise<Record<string, Uint8Array>> {
  // First: pages look at the first bytes.
  return { [journalEntry]: storage.whole(), ...(await storage.others()) };
}

/** Makes a project of such files. @returns its id; @throws Error for other files */
export async function projectOfFiles({
  [journalEntry]: journal,
  ...others
}: Readonly<Record<string, Uint8Array>>): Promise<string> {
  if (journal === undefined) throw new Error("This zip holds no project. Expected one that this page saved.");
  let name = "";
  for (const { json } of recordsOf(journal)) {
    const change = json as { readonly kind: string; readonly name: string };
    if (change.kind === "name") name = change.name;
  }
  return makeProject({ ...others, [nameFile]: new TextEncoder().encode(name) }, journal);
}
