import type { RunContext } from "../features/run-context.ts";
import { calibrate, type FittedCalibration } from "../probe/calibration.ts";
import type { ClosedFormProbe } from "../probe/closed-form.ts";

/**
 * Calibrates a probe on the training features of a place. What does not depend on the probe is kept: it takes longer than all
 * else, and every set that is made from the same data needs it.
 * @param solvedOn rows that the probe was solved on; "all", or none for a distilled set
 */
export const calibrateAt = (
  { train, gemm, kept }: RunContext,
  probe: ClosedFormProbe,
  solvedOn: Int32Array | "all",
): Promise<FittedCalibration> =>
  calibrate(probe, train, solvedOn, gemm, (rows, make) =>
    kept.value({ what: "directions of training features", rows }, make),
  );
