import { useSignal, type ReadonlySignal } from "@preact/signals";
import type { RefObject } from "preact";
import { useEffect } from "preact/hooks";

/** Return the width of an element in pixels, at least `least`; drawn again when it changes. */
export function useWidth(element: RefObject<HTMLElement | null>, least: number, first: number): ReadonlySignal<number> {
  const width = useSignal(first);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => (width.value = Math.max(entry!.contentRect.width, least)));
    observer.observe(element.current!);
    return () => observer.disconnect();
  }, []);
  return width;
}
