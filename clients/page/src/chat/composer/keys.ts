/** What the key Enter does in the composer. Pure. */

type Pressed = Pick<KeyboardEvent, "key" | "shiftKey" | "ctrlKey" | "metaKey" | "altKey" | "isComposing" | "keyCode">;

/**
 * `null`: what it always does, a new line. While an input method composes a word, Enter chooses it; Safari says so by
 * the key code 229 only.
 */
export function whatEnterDoes(event: Pressed, { isBusy, isTouch }: { isBusy: boolean; isTouch: boolean }): "send" | "interrupt" | null {
  if (event.key !== "Enter" || event.isComposing || event.keyCode === 229) return null;
  if (event.shiftKey || event.altKey) return null;
  if (event.ctrlKey || event.metaKey) return isBusy ? "interrupt" : "send";
  return isTouch ? null : "send";
}
