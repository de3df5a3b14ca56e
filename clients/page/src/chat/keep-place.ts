/**
 * Keeps what is on the screen in its place when messages come in above.
 *
 * By hand, because browsers do it sometimes, and never at the very top. For all other growth, such as rows that turn out
 * higher than they were thought to be, their own way goes on.
 */

/** New rows near the screen get their real height in the frames after they came. */
const FRAMES = 4;
/** Pixels below the upper edge; between rows there is nothing. */
const LOOKED_AT = [4, 40, 80, 160, 320];

interface Seen {
  row: Element;
  /** In the content, not on the screen: the reader may scroll meanwhile. */
  at: number;
}

export class KeptPlace {
  readonly #box: HTMLElement;
  readonly #list: Element;
  readonly #changes: MutationObserver;
  #first: Element | null;
  /** The topmost row on the screen, as it was when it was looked at. */
  #seen: Seen | null = null;
  #framesLeft = 0;

  constructor(box: HTMLElement, list: Element) {
    this.#box = box;
    this.#list = list;
    this.#first = list.firstElementChild;
    this.#changes = new MutationObserver(() => this.#changed());
    this.#changes.observe(list, { childList: true });
  }

  /** The reader has moved, or all is in its place. */
  look(): void {
    const row = this.#topmost();
    this.#seen = row ? { row, at: this.#placeOf(row) } : null;
  }

  /** The content has another height: correct at once, before it is drawn. */
  correct(): void {
    const seen = this.#seen;
    if (this.#framesLeft === 0 || !seen?.row.isConnected) return;
    const grown = this.#placeOf(seen.row) - seen.at;
    seen.at += grown;
    if (grown !== 0) this.#box.scrollTop += grown;
  }

  stop(): void {
    this.#changes.disconnect();
    this.#framesLeft = 0;
  }

  #changed(): void {
    const first = this.#first;
    this.#first = this.#list.firstElementChild;
    if (!first?.isConnected || first === this.#first) return;
    this.#box.style.overflowAnchor = "none";
    this.#framesLeft = FRAMES;
    this.correct();
    requestAnimationFrame(() => this.#drawn());
  }

  #drawn(): void {
    if (this.#framesLeft === 0) return;
    this.correct();
    if (--this.#framesLeft > 0) requestAnimationFrame(() => this.#drawn());
    else this.#box.style.overflowAnchor = "";
  }

  #placeOf(row: Element): number {
    return row.getBoundingClientRect().top + this.#box.scrollTop;
  }

  #topmost(): Element | null {
    const { top, left, width } = this.#box.getBoundingClientRect();
    for (const below of LOOKED_AT) {
      const row = document.elementFromPoint(left + width / 2, top + below)?.closest(".message");
      if (row && this.#list.contains(row)) return row;
    }
    return null;
  }
}
