/** Seconds after which the shards of a worker that is not heard of are others'. */
export const defaultLeaseSeconds = 30;
/** Seconds without news of the others, or of the server, after which a worker gives up. */
export const defaultPatienceSeconds = 600;
