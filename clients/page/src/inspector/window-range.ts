/** Which rows of a long list are drawn. All rows have one height, so that the place of a row is a product. */

export interface WindowRange {
  /** First row that is drawn. */
  first: number;
  /** Behind the last one. */
  end: number;
  /** Height of the whole list in pixels. */
  height: number;
}

/** Browsers place nothing beyond about 2^24 pixels; a list longer than this would need a scaled scroll bar. */
export const MOST_ROWS = 400_000;

export function windowRange(
  rows: number,
  rowHeight: number,
  scrollTop: number,
  viewHeight: number,
  overscan = 8,
): WindowRange {
  const shown = Math.min(rows, MOST_ROWS);
  const top = Math.min(Math.max(0, scrollTop), Math.max(0, shown * rowHeight - viewHeight));
  const first = Math.max(0, Math.floor(top / rowHeight) - overscan);
  const end = Math.min(shown, Math.ceil((top + viewHeight) / rowHeight) + overscan);
  return { first: Math.min(first, end), end, height: shown * rowHeight };
}

/** Where to scroll so that a row is seen whole; the place itself when it is seen already. */
export function scrollToShow(row: number, rowHeight: number, scrollTop: number, viewHeight: number): number {
  const top = row * rowHeight;
  if (top < scrollTop) return top;
  if (top + rowHeight > scrollTop + viewHeight) return top + rowHeight - viewHeight;
  return scrollTop;
}

/** Whether the end of the list is in view: then new rows keep the view at the end. */
export function isAtEnd(scrollTop: number, viewHeight: number, height: number, slack = 24): boolean {
  return scrollTop + viewHeight >= height - slack;
}
