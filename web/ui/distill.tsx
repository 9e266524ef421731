import { useSignal } from "@preact/signals";
import type { ComputeDevice, DistillInfo } from "../engine/protocol.ts";
import { ask, busy, distillation, engine, filledClasses, preview } from "../state.ts";
import { texts } from "../texts.ts";
import { Grid } from "./pixels.tsx";

const own = texts.distill;

export function Distill() {
  return (
    <section aria-labelledby="distill">
      <h2 id="distill">{own.title}</h2>
      <p class="hint">{own.hint}</p>
      {busy.value ? <Running {...distillation.value!} /> : <Settings />}
    </section>
  );
}

const minuteChoices = [1, 3, 10, 30];
const deviceChoices = ["auto", "wasm", "webgpu"] as const;
/** `undefined`: the images say it. */
const mirrorChoices = [undefined, true, false] as const;

function Settings() {
  const ipc = useSignal(1);
  const minutes = useSignal(3);
  const steps = useSignal<number | undefined>(undefined);
  const device = useSignal<ComputeDevice>("auto");
  const mirror = useSignal<boolean | undefined>(undefined);
  if (filledClasses.value < 2) return <p class="hint">{own.waiting}</p>;
  const start = () =>
    ask(() =>
      engine.call("distill", [
        {
          ipc: ipc.value,
          minutes: minutes.value,
          steps: steps.value,
          mirror: mirror.value,
          device: device.value,
        },
      ]),
    );
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void start();
      }}
    >
      <div class="row fields">
        <label>
          {own.perClass}
          <input
            type="number"
            min={1}
            max={20}
            value={ipc.value}
            onChange={(event) => {
              ipc.value = Math.max(1, event.currentTarget.valueAsNumber || 1);
            }}
          />
        </label>
        <label>
          {own.time}
          <select
            onChange={(event) => {
              minutes.value = Number(event.currentTarget.value);
            }}
          >
            {minuteChoices.map((choice) => (
              <option key={choice} value={choice} selected={choice === minutes.value}>
                {own.minutes(choice)}
              </option>
            ))}
          </select>
        </label>
      </div>
      <details>
        <summary>{own.advanced}</summary>
        <label>
          {own.steps}
          <input
            type="number"
            min={1}
            max={5000}
            value={steps.value ?? ""}
            onChange={(event) => {
              const { valueAsNumber } = event.currentTarget;
              steps.value = valueAsNumber > 0 ? valueAsNumber : undefined;
            }}
          />
        </label>
        <label>
          {own.mirror}
          <select
            onChange={(event) => {
              mirror.value = mirrorChoices[event.currentTarget.selectedIndex];
            }}
          >
            {mirrorChoices.map((choice) => (
              <option key={String(choice)} selected={choice === mirror.value}>
                {own.mirrorChoice(choice)}
              </option>
            ))}
          </select>
        </label>
        {"gpu" in navigator && (
          <label>
            {own.device}
            <select
              onChange={(event) => {
                device.value = event.currentTarget.value as ComputeDevice;
              }}
            >
              {deviceChoices.map((choice) => (
                <option key={choice} value={choice} selected={choice === device.value}>
                  {own.devices[choice]}
                </option>
              ))}
            </select>
          </label>
        )}
      </details>
      <button type="submit" class="main">
        {own.start}
      </button>
    </form>
  );
}

function Running(info: DistillInfo) {
  const { phase, step, steps, classes, ipc, loss, heldOut, heldOutImages, secondsPerStep, size, notes } =
    info;
  const names = preview.value.map((_, i) => classes[Math.floor(i / ipc)]?.name ?? "");
  const latest = heldOut.at(-1);
  return (
    <div data-phase={phase} data-step={step}>
      {/* Every step would be too much to listen to. */}
      <p role="status" class="status">
        {own.phase[phase]}
      </p>
      {steps > 0 && (
        <p>
          <progress aria-label={own.phase[phase]} max={steps} value={step} />
          {own.step(step, steps, secondsPerStep * (steps - step))}
        </p>
      )}
      {notes.map((note) => (
        <p key={note} class="hint">
          {note}
        </p>
      ))}
      <Grid
        images={preview.value}
        size={size}
        captions={names}
        labelOf={(i) => own.image(names[i]!, (i % ipc) + 1)}
      />
      {loss.length > 0 && (
        <p class="figures">
          <span>{own.loss(loss.at(-1)!)}</span>
          <span>{latest ? own.heldOut(latest.accuracy, heldOutImages) : own.noHeldOut}</span>
        </p>
      )}
      {loss.length > 1 && <Curve values={loss} total={steps} />}
      <div class="row">
        {phase === "running" && (
          <button type="button" onClick={() => void ask(() => engine.call("pause", []))}>
            {own.pause}
          </button>
        )}
        {phase === "paused" && (
          <button type="button" onClick={() => void ask(() => engine.call("resume", []))}>
            {own.resume}
          </button>
        )}
        {(phase === "running" || phase === "paused") && (
          <button type="button" class="quiet" onClick={() => void ask(() => engine.call("stop", []))}>
            {own.stop}
          </button>
        )}
      </div>
    </div>
  );
}

const [curveWidth, curveHeight] = [300, 70];

function Curve({ values, total }: { readonly values: readonly number[]; readonly total: number }) {
  const most = Math.max(...values);
  const every = Math.ceil(values.length / curveWidth);
  const points = values
    .map((value, i) => [
      ((i + 1) / total) * curveWidth,
      curveHeight - (value / (most || 1)) * (curveHeight - 4),
    ])
    .filter((_, i) => i % every === 0 || i === values.length - 1)
    .map(([x, y]) => `${x!.toFixed(1)},${y!.toFixed(1)}`);
  return (
    <svg
      class="curve"
      viewBox={`0 0 ${curveWidth} ${curveHeight}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={own.curve}
    >
      <polyline points={points.join(" ")} />
    </svg>
  );
}
