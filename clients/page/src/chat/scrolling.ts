/**
 * Where the reader is in the conversation.
 *
 * 1. At the end: it stays there, whatever grows or comes. Anywhere else: nothing moves under the reader's eyes.
 * 2. Near the top: an older page is loaded, and what was on the screen stays where it was.
 */
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

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
    toEnd();
    let isLoading = false;
    let height = box.scrollHeight;
    const older = async () => {
      if (isLoading || box.scrollTop > NEAR_TOP_SCREENS * box.clientHeight) return;
      isLoading = true;
      await loadOlder();
      isLoading = false;
    };
    const onScroll = () => {
      const left = box.scrollHeight - box.clientHeight - box.scrollTop;
      // Growth alone also moves the end away; only the reader's own scrolling gives it up.
      if (left <= NEAR_END) follows.current = true;
      else if (box.scrollHeight === height) follows.current = false;
      height = box.scrollHeight;
      setAtEnd(follows.current);
      void older();
    };
    const onGrowth = () => {
      if (follows.current) toEnd();
      height = box.scrollHeight;
      void older();
    };
    box.addEventListener("scroll", onScroll, { passive: true });
    const growth = new ResizeObserver(onGrowth);
    growth.observe(content.current!);
    growth.observe(box);
    return () => {
      box.removeEventListener("scroll", onScroll);
      growth.disconnect();
    };
  }, [loadOlder]);

  useEffect(() => keepPlace(scroller.current!, content.current!), []);
  return { scroller, content, isAtEnd, toEnd };
}

/** Keep what is on the screen in its place when messages come in above; browsers do not at the very top. */
function keepPlace(box: HTMLElement, content: HTMLElement): () => void {
  const list = content.querySelector(".message-list")!;
  const changes = new MutationObserver(() => {
    if (box.scrollTop > 0 && CSS.supports("overflow-anchor", "auto")) return;
    const first = known;
    known = list.firstElementChild;
    if (first?.isConnected && first !== known) {
      box.scrollTop += first.getBoundingClientRect().top - list.getBoundingClientRect().top;
    }
  });
  let known = list.firstElementChild;
  changes.observe(list, { childList: true });
  return () => changes.disconnect();
}
