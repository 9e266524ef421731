import { useEffect, useRef } from "preact/hooks";
import { filesOf, take } from "../drop.ts";
import {
  addFiles,
  ask,
  classes,
  crashed,
  encoder,
  engine,
  failure,
  images,
  kept,
  lastClass,
  left,
  leftOut,
  loading,
  openProject,
  projectId,
  projectName,
  projects,
  ready,
  renameProject,
} from "../state.ts";
import { texts } from "../texts.ts";
import { Answer } from "./answer.tsx";
import { ClassifyPanel } from "./classify.tsx";
import { Distill } from "./distill.tsx";
import { download } from "./download.ts";
import { Gather } from "./gather.tsx";
import { Hub } from "./hub.tsx";
import { SetPanel } from "./set.tsx";

export function App() {
  return (
    <>
      <Header />
      <Messages />
      <main inert={!ready.value}>
        <Gather />
        <div class="columns">
          <Answer />
          <ClassifyPanel />
        </div>
        <div class="columns">
          <Distill />
          <SetPanel />
        </div>
      </main>
      <footer>
        {encoder.value && (
          <p>
            <strong>{texts.encoder.title}:</strong>{" "}
            {texts.encoder.about(
              encoder.value.id,
              encoder.value.size,
              encoder.value.featureSize,
              encoder.value.license,
            )}
          </p>
        )}
        <Hub />
      </footer>
      <DropTarget />
    </>
  );
}

function Header() {
  return (
    <header>
      <h1>{texts.title}</h1>
      <p>{texts.lead}</p>
      <div class="project">
        {projects.value.length > 1 && (
          <label>
            {texts.projects}{" "}
            <select onChange={(event) => openProject(event.currentTarget.value)}>
              {projects.value.map(({ id, name }) => (
                <option key={id} value={id} selected={id === projectId}>
                  {name || texts.untitled}
                </option>
              ))}
            </select>
          </label>
        )}
        <label>
          {texts.projectName}{" "}
          <input
            type="text"
            value={projectName.value}
            placeholder={texts.untitled}
            disabled={!ready.value}
            onChange={(event) => renameProject(event.currentTarget.value)}
          />
        </label>
        <button type="button" class="quiet" onClick={() => openProject()}>
          {texts.newProject}
        </button>
        <button type="button" class="quiet" disabled={!ready.value} onClick={() => void exportProject()}>
          {texts.exportProject}
        </button>
        <button
          type="button"
          class="quiet danger"
          disabled={!ready.value}
          onClick={() => void deleteProject()}
        >
          {texts.deleteProject}
        </button>
      </div>
    </header>
  );
}

async function exportProject(): Promise<void> {
  const zip = await ask(() => engine.call("exportProject", []));
  if (zip) await download(zip, `${projectName.value || "project"}.zip`);
}

async function deleteProject(): Promise<void> {
  if (!confirm(texts.deleteConfirm)) return;
  const others = await ask(() => engine.call("deleteProject", []));
  if (others) openProject(others[0]?.id);
}

function Messages() {
  const status =
    loading.value ??
    (left.value > 0
      ? texts.gather.reading(left.value)
      : images.value.length > 0
        ? texts.gather.read(images.value.length)
        : texts.loading.ready(encoder.value?.threads ?? 1));
  return (
    <div class="messages">
      <p
        role="status"
        class="status"
        data-ready={ready.value}
        data-left={left.value}
        data-threads={encoder.value?.threads}
      >
        {status}
      </p>
      {leftOut.value > 0 && <p class="note">{texts.leftOut(leftOut.value)}</p>}
      {!kept.value && <p class="note">{texts.notKept}</p>}
      {crashed.value && (
        <p role="alert" class="note bad">
          {texts.crashed}{" "}
          <button type="button" onClick={() => location.reload()}>
            {texts.reload}
          </button>
        </p>
      )}
      {failure.value && (
        <p role="alert" class="note bad">
          {failure.value}{" "}
          <button
            type="button"
            onClick={() => {
              failure.value = undefined;
            }}
          >
            {texts.gather.dismiss}
          </button>
        </p>
      )}
    </div>
  );
}

/** Takes what is dropped anywhere on the page or pasted. */
function DropTarget() {
  const veil = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const show = (on: boolean) => veil.current?.classList.toggle("on", on);
    const over = (event: DragEvent) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      show(true);
    };
    const leave = (event: DragEvent) => {
      if (event.relatedTarget === null) show(false);
    };
    const drop = async (event: DragEvent) => {
      show(false);
      if (!event.dataTransfer || event.defaultPrevented || !ready.value) return;
      event.preventDefault();
      const place = (event.target as Element | null)?.closest?.("[data-class]");
      take(await filesOf(event.dataTransfer), place?.getAttribute("data-class") ?? undefined);
    };
    const paste = (event: ClipboardEvent) => {
      const files = Array.from(event.clipboardData?.files ?? []).filter(({ type }) =>
        type.startsWith("image/"),
      );
      const classId = lastClass.value ?? classes.value[0]?.id;
      if (files.length === 0 || classId === undefined) return;
      event.preventDefault();
      addFiles(files.map((content) => ({ classId, name: content.name, content })));
    };
    const listeners = new AbortController();
    const { signal } = listeners;
    addEventListener("dragover", over, { signal });
    addEventListener("dragleave", leave, { signal });
    addEventListener("drop", (event) => void drop(event), { signal });
    addEventListener("paste", paste, { signal });
    return () => listeners.abort();
  }, []);
  return <div ref={veil} class="veil" aria-hidden="true" />;
}
