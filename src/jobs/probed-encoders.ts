import type { JobContext } from "../context.ts";
import { splitColumns } from "../distill/columns.ts";
import type { Synthesis } from "../distill/synthesize.ts";
import { evaluateRun, measureRunEdits, type RunEvaluation } from "../evaluate/evaluate-run.ts";
import type { EditedAccuracy } from "../evaluate/measure-edits.ts";
import type { RunContext } from "../features/run-context.ts";
import type { Edit } from "../images/edits.ts";
import type { FittedCalibration } from "../probe/calibration.ts";
import { type ClosedFormProbe, fitClosedForm } from "../probe/closed-form.ts";
import type { Matrix } from "../probe/matrix.ts";
import { calibrateAt } from "./calibrate-at.ts";
import type { DistillParams } from "./params.ts";

/** What a run's images are worth under one of its encoders. */
export interface ProbedEncoder {
  readonly place: RunContext;
  readonly probe: ClosedFormProbe;
  readonly calibration: FittedCalibration;
  /** Absent where the data set has no test images. */
  readonly evaluation?: RunEvaluation;
}

/** How parts of a job are timed. */
type Staged = <T>(name: string, work: () => Promise<T>) => Promise<T>;

/**
 * Solves and evaluates the closed-form probe of a run's images under each of its encoders.
 * @param places of the encoders, in the order of the run's
 * @param labels m × C
 */
export async function probeEncoders(
  { parts: { images, encoders, config } }: Synthesis,
  places: readonly RunContext[],
  labels: Matrix,
  params: Pick<DistillParams, "baselines" | "edits">,
  staged: Staged,
  context: JobContext,
): Promise<ProbedEncoder[]> {
  const hasTest = places[0].test !== undefined;
  const sizes = encoders.map(({ real }) => real.featureSize);
  const { ipc, lambda } = config;
  const features = splitColumns(await images.plainFeatures(), sizes);
  const probes: ClosedFormProbe[] = [];
  for (const [k, { maps }] of encoders.entries())
    probes.push(await fitClosedForm(features[k], labels, maps[0], lambda, places[k].gemm));
  const edits = await editsUnderAll();
  await images.keepOnlyParameters();
  const calibrations = await staged("calibration", async () => {
    const fitted: FittedCalibration[] = [];
    for (const [k, place] of places.entries())
      fitted.push(await calibrateAt(place, probes[k], new Int32Array(0)));
    return fitted;
  });
  const evaluate = async (k: number): Promise<RunEvaluation> => {
    const { map } = probes[k];
    const compared = params.baselines === false ? undefined : { ipc, map, lambda };
    const found = await evaluateRun(
      ...([probes[k], calibrations[k], places[k].test!, places[k], compared, context] as const),
    );
    return { ...found, ...(edits ? { edits: edits[k] } : {}) };
  };
  const evaluations = hasTest
    ? await staged("evaluation", async () => {
        const done: RunEvaluation[] = [];
        for (const k of places.keys()) done.push(await evaluate(k));
        return done;
      })
    : [];
  return places.map((place, k) => ({
    place,
    probe: probes[k],
    calibration: calibrations[k],
    ...(evaluations[k] ? { evaluation: evaluations[k] } : {}),
  }));

  /** While the encoders are still there. */
  async function editsUnderAll(): Promise<EditedAccuracy[] | undefined> {
    if (params.edits === false || !hasTest) return undefined;
    // The features under all encoders come together, and each is asked for its own.
    const edited = new Map<string, Promise<Float32Array[]>>();
    const editedFeatures = (edit: Edit) => {
      const known =
        edited.get(edit.name) ?? images.editedFeatures(edit).then((all) => splitColumns(all, sizes));
      edited.set(edit.name, known);
      return known;
    };
    return staged("edits", async () => {
      const done: EditedAccuracy[] = [];
      for (const [k, { test, gemm }] of places.entries()) {
        const featuresOf = async (edit: Edit) => (await editedFeatures(edit))[k];
        const handled = { featuresOf, labels, mirror: config.mirror ?? true };
        done.push(await measureRunEdits(probes[k], test!, gemm, handled, context));
      }
      return done;
    });
  }
}
