/** What has to be typed before everything is deleted: nobody does so by mistake. */
export const PHRASE = "delete everything";

/** Whether it was typed, in whatever case and with whatever space a phone adds. */
export function isConfirmed(typed: string): boolean {
  return typed.trim().replace(/\s+/g, " ").toLowerCase() === PHRASE;
}
