import type { SerializedError } from "../serialized-error.ts";

/** The service that loads another, whose name is the request, before that is asked for anything. */
export const loadService = "load";

/** A request to a helper process, and its reply. Requests are answered in the order in which they were sent. */
export interface HelperRequest {
  readonly id: number;
  readonly service: string;
  readonly request: unknown;
}

export type HelperReply =
  | { readonly id: number; readonly reply: unknown }
  | { readonly id: number; readonly error: SerializedError };
