/** Cursors of events: `<ordinal of the run in the thread>-<number of the event in the run>`. */

export interface Place {
  ordinal: number;
  seq: number;
  /** Of the events that open a stream for a client that holds nothing (`3-17.2`): a count-down. Others: 0. */
  before: number;
}

const FORM = /^(\d+)-(\d+)(?:\.(\d+))?$/;

export function placeOf(cursor: string | null): Place | null {
  const match = cursor === null ? null : FORM.exec(cursor);
  return match === null ? null : { ordinal: Number(match[1]), seq: Number(match[2]), before: Number(match[3] ?? 0) };
}

/** Whether an event is of the log. The opening of a stream is made for one reader, and cannot be followed from. */
export function isOfLog(cursor: string | null): boolean {
  const place = placeOf(cursor);
  return place !== null && place.before === 0 && place.seq > 0;
}

/** The order of the log; an opening stands before the event whose place it names. */
export function comparePlaces(left: Place, right: Place): number {
  return left.ordinal - right.ordinal || left.seq - right.seq || right.before - left.before;
}
