import { fileOpen } from "browser-fs-access";
import { take } from "../drop.ts";
import type { SetInfo } from "../engine/protocol.ts";
import { ask, engine, projectName, set } from "../state.ts";
import { texts } from "../texts.ts";
import { download } from "./download.ts";
import { Grid } from "./pixels.tsx";

const own = texts.set;

/** What can be taken away, with the ends of the files' names. */
const downloads = { zip: "", pngs: " pictures", classifier: " classifier" } as const;

export function SetPanel() {
  const open = async () => {
    const file = await fileOpen({ extensions: [".zip"], mimeTypes: ["application/zip"] }).catch(
      () => undefined,
    );
    if (file) take([{ file, folder: "", path: file.name }]);
  };
  return (
    <section aria-labelledby="set">
      <h2 id="set">{own.title}</h2>
      {set.value ? <Result {...set.value} /> : <p class="hint">{own.openHint}</p>}
      <button type="button" class="quiet" onClick={() => void open()}>
        {own.open}
      </button>
    </section>
  );
}

function Result({ name, classes, labels, images, size, top1, heldOutImages, stopped, refusal }: SetInfo) {
  const fileName = (projectName.value || name || "set").replace(/[^\p{L}\p{N}._ -]+/gu, "_");
  const save = async (what: keyof typeof downloads) => {
    const bytes = await ask(() => engine.call(what, []));
    if (bytes) await download(bytes, `${fileName}${downloads[what]}.zip`);
  };
  const captions = labels.map((label) => classes[label]!);
  return (
    <>
      <p role="status" class="result" data-set={name}>
        {own.result(images.length, classes.length)}. {top1 !== undefined && own.top1(top1, heldOutImages)}{" "}
        {stopped}
      </p>
      {refusal && <p class="note">{own.refusal(refusal)}</p>}
      <Grid
        images={images}
        size={size}
        captions={captions}
        labelOf={(i) =>
          texts.distill.image(captions[i]!, labels.slice(0, i + 1).filter((l) => l === labels[i]).length)
        }
      />
      <div class="row">
        <button type="button" class="main" onClick={() => void save("zip")}>
          {own.zip}
        </button>
        <button type="button" class="quiet" onClick={() => void save("pngs")}>
          {own.pngs}
        </button>
        {!refusal && (
          <button type="button" class="quiet" onClick={() => void save("classifier")}>
            {own.classifier}
          </button>
        )}
        <button
          type="button"
          class="quiet danger"
          onClick={() => void ask(() => engine.call("discardSet", []))}
        >
          {own.discard}
        </button>
      </div>
      <p class="hint">
        {own.use} <code>npx clp-dd evaluate FOLDER --data IMAGES</code>.
        {!refusal && <> {own.classifierHint}</>}
      </p>
    </>
  );
}
