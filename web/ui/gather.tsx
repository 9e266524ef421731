import { useSignal } from "@preact/signals";
import { directoryOpen, fileOpen } from "browser-fs-access";
import { filesOfFolder, take } from "../drop.ts";
import type { ClassInfo } from "../engine/protocol.ts";
import { addReadySet } from "../ready-set.ts";
import {
  addClass,
  addFiles,
  ask,
  classes,
  imagesByClass,
  lastClass,
  removeClass,
  removeImage,
  renameClass,
  unreadable,
} from "../state.ts";
import { texts } from "../texts.ts";
import { Camera } from "./camera.tsx";

const own = texts.gather;

/** Thumbnails that a class shows before it is asked for all: thousands of them slow a page down. */
const shownAtFirst = 24;

const imageTypes = ["image/*"];

/** A choice that was called off is no failure. */
const chosen = async <T,>(choice: Promise<T>): Promise<T | undefined> => choice.catch(() => undefined);

async function openFolder(): Promise<void> {
  const files = await chosen(directoryOpen({ recursive: true }));
  if (files) take(filesOfFolder((files as File[]).filter((file) => file instanceof File)));
}

export function Gather() {
  return (
    <section aria-labelledby="gather">
      <h2 id="gather">{own.title}</h2>
      <p class="hint">
        {own.hint} {own.pasted}
      </p>
      <Unreadable />
      <div class="classes">
        {classes.value.map((each) => (
          <ClassColumn key={each.id} {...each} />
        ))}
      </div>
      <div class="row">
        <button
          type="button"
          onClick={() => {
            const id = addClass(own.newClass(classes.value.length + 1));
            // The new name is what a person writes next.
            requestAnimationFrame(() => document.getElementById(`name-${id}`)?.focus());
          }}
        >
          {own.addClass}
        </button>
        <button type="button" class="quiet" onClick={() => void openFolder()}>
          {own.openFolder}
        </button>
        {imagesByClass.value.size === 0 && (
          <button type="button" class="quiet" onClick={() => void ask(addReadySet)}>
            {own.ready}
          </button>
        )}
      </div>
    </section>
  );
}

function ClassColumn({ id, name }: ClassInfo) {
  const camera = useSignal(false);
  const all = useSignal(false);
  const images = imagesByClass.value.get(id) ?? [];
  const shown = all.value ? images : images.slice(-shownAtFirst);
  const upload = async () => {
    const files = await chosen(fileOpen({ mimeTypes: imageTypes, multiple: true, description: own.upload }));
    if (files) addFiles(files.map((content) => ({ classId: id, name: content.name, content })));
  };
  return (
    <article
      class="class"
      data-class={id}
      data-name={name}
      onFocusIn={() => {
        lastClass.value = id;
      }}
    >
      <div class="class-head">
        <input
          id={`name-${id}`}
          type="text"
          aria-label={own.className}
          value={name}
          onFocus={(event) => event.currentTarget.select()}
          onChange={(event) => renameClass(id, event.currentTarget.value || name)}
        />
        <button
          type="button"
          class="icon"
          aria-label={own.removeClass(name)}
          onClick={() => {
            if (images.length === 0 || confirm(own.removeClassConfirm(name, images.length))) removeClass(id);
          }}
        >
          ×
        </button>
      </div>
      <div class="row">
        <button type="button" aria-label={own.uploadTo(name)} onClick={() => void upload()}>
          {own.upload}
        </button>
        <button
          type="button"
          class="quiet"
          aria-label={own.cameraTo(name)}
          onClick={() => {
            camera.value = true;
          }}
        >
          {own.camera}
        </button>
      </div>
      {camera.value && (
        <Camera
          classId={id}
          name={name}
          onClose={() => {
            camera.value = false;
          }}
        />
      )}
      <p class="count" data-count={images.length}>
        {own.count(images.length)}
      </p>
      <ul class="thumbnails">
        {shown.map((image) => (
          <li key={image.id}>
            <button
              type="button"
              class="thumbnail"
              aria-label={own.removeImage(image.name)}
              onClick={() => removeImage(image.id)}
            >
              <img src={image.url} alt="" loading="lazy" width="64" height="64" />
            </button>
          </li>
        ))}
      </ul>
      {images.length > shown.length && (
        <button
          type="button"
          class="quiet"
          onClick={() => {
            all.value = true;
          }}
        >
          {own.showAll(images.length)}
        </button>
      )}
    </article>
  );
}

function Unreadable() {
  const files = unreadable.value;
  if (files.length === 0) return null;
  return (
    <div role="alert" class="note">
      <strong>{own.unreadable(files.length)}</strong>
      <p>{own.unreadableHint}</p>
      <ul>
        {files.slice(0, 20).map(({ name, reason }) => (
          <li key={name}>
            {name}: {reason}
          </li>
        ))}
      </ul>
      <button
        type="button"
        onClick={() => {
          unreadable.value = [];
        }}
      >
        {own.dismiss}
      </button>
    </div>
  );
}
