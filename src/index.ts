/**
 * clp-dd: dataset distillation for frozen pre-trained vision encoders.
 *
 * The library under the names of the command line. Everything that runs a model does so in a worker thread.
 */
export type { DistillParams, EncoderParams } from "./engine/params.ts";
export * from "./errors.ts";
