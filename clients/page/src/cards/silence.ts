import { effect, type ReadonlySignal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import type { ThreadSession } from "../session/types";

/** A model thinks for some seconds; whoever has seen nothing for longer begins to wonder. */
export const SILENT_MILLISECONDS = 12_000;

/** Tell whether nothing has changed for a time, each time that this changes; returns what ends it. */
export function watchSilence(version: ReadonlySignal<unknown>, milliseconds: number, onChange: (isSilent: boolean) => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isSilent = false;
  const stop = effect(() => {
    void version.value;
    clearTimeout(timer);
    timer = setTimeout(() => onChange((isSilent = true)), milliseconds);
    if (isSilent) onChange((isSilent = false));
  });
  return () => {
    stop();
    clearTimeout(timer);
  };
}

/** Whether the thread has told nothing for so long; false again with its next event. */
export function useSilence(session: ThreadSession): boolean {
  const [isSilent, setSilent] = useState(false);
  useEffect(() => {
    setSilent(false);
    return watchSilence(session.log.version, SILENT_MILLISECONDS, setSilent);
  }, [session]);
  return isSilent;
}
