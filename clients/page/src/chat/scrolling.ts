/**
 * Where the reader is in the conversation.
 *
 * 1. At the end: it stays there, whatever grows or comes. Anywhere else: nothing moves under the reader's eyes.
 * 2. Near the top: an older page is loaded, and what was on the screen stays where it was.
 */
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { KeptPlace } from "./keep-place";

/** Closer to the end than this counts as there, so that a line more or less does not lose the reader. */
const NEAR_END = 48;
/** Two screens ahead: a page is usually there before the reader is. */
const NEAR_TOP_SCREENS = 2;

export function useScrolling(loadOlder: () => Promise<void>) {
  const scroller = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const [isAtEnd, setAtEnd] = useState(true);
  const follows = useRef(true);

  const toEnd = () => {
    const box = scroller.current!;
    follows.current = true;
    box.scrollTop = box.scrollHeight;
  };

  useLayoutEffect(() => {
    const box = scroller.current!;
    const place = new KeptPlace(box, content.current!.querySelector(".message-list")!);
    toEnd();
    let isLoading = false;
    let top = box.scrollTop;
    const older = async () => {
      if (isLoading || box.scrollTop > NEAR_TOP_SCREENS * box.clientHeight) return;
      isLoading = true;
      await loadOlder();
      isLoading = false;
    };
    const look = () => {
      const left = box.scrollHeight - box.clientHeight - box.scrollTop;
      // Growth alone also moves the end away. Only who goes upwards gives it up.
      if (left <= NEAR_END) follows.current = true;
      else if (box.scrollTop < top - 1) follows.current = false;
      top = box.scrollTop;
      setAtEnd(follows.current);
    };
    const onScroll = () => {
      look();
      place.look();
      void older();
    };
    const onGrowth = () => {
      // The reader may have gone upwards since the last event of scrolling.
      look();
      if (follows.current) toEnd();
      else place.correct();
      place.look();
      top = box.scrollTop;
      // A frame later: only then has the browser moved what it keeps in its place.
      requestAnimationFrame(() => void older());
    };
    box.addEventListener("scroll", onScroll, { passive: true });
    const growth = new ResizeObserver(onGrowth);
    growth.observe(content.current!);
    growth.observe(box);
    return () => {
      box.removeEventListener("scroll", onScroll);
      growth.disconnect();
      place.stop();
    };
  }, [loadOlder]);

  return { scroller, content, isAtEnd, toEnd };
}
