import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { AnswerInfo, Suspect } from "../engine/protocol.ts";
import { answer, images, moveImage } from "../state.ts";
import { texts } from "../texts.ts";

const own = texts.answer;

export function Answer() {
  const shown = answer.value;
  return (
    <section aria-labelledby="answer">
      <h2 id="answer">{own.title}</h2>
      <p
        role="status"
        class={shown ? "result" : "hint"}
        data-images={shown?.images ?? 0}
        data-milliseconds={shown?.milliseconds}
      >
        {shown ? own.accuracy(shown.accuracy, shown.images) : own.waiting}
      </p>
      {shown && <Confusion {...shown} />}
      {shown && <Suspects {...shown} />}
    </section>
  );
}

function Confusion({ classes, confusion }: AnswerInfo) {
  const open = useSignal<{ readonly title: string; readonly ids: readonly string[] } | undefined>(undefined);
  const largest = Math.max(1, ...confusion.flat().map(({ length }) => length));
  return (
    <>
      <h3>{own.confusion}</h3>
      <p class="hint">{own.confusionHint}</p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <section class="scroll" tabIndex={0} aria-label={own.confusion}>
        <table class="confusion">
          <thead>
            <tr>
              <td />
              {classes.map(({ id, name }) => (
                <th key={id} scope="col">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {confusion.map((row, label) => (
              <tr key={classes[label]!.id}>
                <th scope="row">{classes[label]!.name}</th>
                {row.map((ids, predicted) => {
                  const title = own.cell(ids.length, classes[label]!.name, classes[predicted]!.name);
                  // Colors in five steps, as style sheets alone may set them.
                  const shade = ids.length === 0 ? 0 : Math.ceil((4 * ids.length) / largest);
                  return (
                    <td
                      key={classes[predicted]!.id}
                      class={`${label === predicted ? "right" : "wrong"} shade-${shade}`}
                    >
                      {ids.length === 0 ? (
                        "·"
                      ) : (
                        <button
                          type="button"
                          aria-label={title}
                          onClick={() => {
                            open.value = { title, ids };
                          }}
                        >
                          {ids.length}
                        </button>
                      )}
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </section>
      {open.value && (
        <Pictures
          {...open.value}
          onClose={() => {
            open.value = undefined;
          }}
        />
      )}
    </>
  );
}

function Pictures(props: {
  readonly title: string;
  readonly ids: readonly string[];
  readonly onClose: () => void;
}) {
  const { title, ids, onClose } = props;
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  const wanted = new Set(ids);
  return (
    <dialog ref={dialog} aria-label={title} onClose={onClose}>
      <h3>{title}</h3>
      <ul class="thumbnails large">
        {images.value
          .filter(({ id }) => wanted.has(id))
          .map(({ id, url, name }) => (
            <li key={id}>
              <img src={url} alt={name} width="96" height="96" />
            </li>
          ))}
      </ul>
      <button type="button" onClick={() => dialog.current?.close()}>
        {own.close}
      </button>
    </dialog>
  );
}

function Suspects({ classes, suspects }: AnswerInfo) {
  const kept = useSignal<ReadonlySet<string>>(new Set());
  const shown = suspects.filter(({ imageId }) => !kept.value.has(imageId)).slice(0, 6);
  if (shown.length === 0) return null;
  const keep = (imageId: string) => {
    kept.value = new Set([...kept.value, imageId]);
  };
  return (
    <>
      <h3>{own.suspects}</h3>
      <p class="hint">{own.suspectsHint}</p>
      <ul class="suspects">
        {shown.map((suspect: Suspect) => {
          const image = images.value.find(({ id }) => id === suspect.imageId);
          const [label, suggested] = [classes[suspect.label]!, classes[suspect.suggested]!];
          if (image === undefined) return null;
          return (
            <li key={suspect.imageId}>
              <img src={image.url} alt={image.name} width="64" height="64" />
              <span>{own.suspect(label.name, suggested.name, suspect.probability)}</span>
              <span class="row">
                <button type="button" class="quiet" onClick={() => moveImage(image.id, suggested.id)}>
                  {own.move(suggested.name)}
                </button>
                <button type="button" class="quiet" onClick={() => keep(image.id)}>
                  {own.keep}
                </button>
              </span>
            </li>
          );
        })}
      </ul>
    </>
  );
}
