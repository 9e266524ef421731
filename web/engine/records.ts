/** A record of the journal: what happened, as JSON, and bytes beside it. */
export interface JournalRecord {
  readonly json: unknown;
  readonly bytes: Uint8Array;
}

/** A record as the journal has it. */
export function recordBytes({ json, bytes }: JournalRecord): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(JSON.stringify(json));
  const record = new Uint8Array(8 + text.length + bytes.length);
  const view = new DataView(record.buffer);
  view.setUint32(0, text.length);
  view.setUint32(4, bytes.length);
  record.set(text, 8);
  record.set(bytes, 8 + text.length);
  return record;
}

/** The record that `recordBytes` wrote. */
export function recordOf(bytes: Uint8Array): JournalRecord {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const text = view.getUint32(0);
  return {
    json: JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + text))),
    bytes: bytes.subarray(8 + text, 8 + text + view.getUint32(4)),
  };
}

/** Every whole record of a journal's bytes, in order. */
export function* recordsOf(journal: Uint8Array): Generator<JournalRecord> {
  const view = new DataView(journal.buffer, journal.byteOffset, journal.byteLength);
  for (let at = 0; at + 8 <= journal.length; ) {
    const end = at + 8 + view.getUint32(at) + view.getUint32(at + 4);
    if (end > journal.length) return;
    yield recordOf(journal.subarray(at, end));
    at = end;
  }
}
