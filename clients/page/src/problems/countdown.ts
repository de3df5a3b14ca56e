import { useEffect, useState } from "preact/hooks";
import type { Problem } from "../session/types";

/** Return the milliseconds since the epoch before which another try is refused again; `null` when it may be now. */
export function retryTime({ retryAfter }: Problem): number | null {
  return retryAfter === null ? null : Date.now() + retryAfter * 1000;
}

/** Return the whole seconds until a time, 0 when it has come; drawn again each second. */
export function useSecondsUntil(time: number | null): number {
  const [now, setNow] = useState(Date.now);
  const isOver = time === null || time <= now;
  useEffect(() => {
    setNow(Date.now());
    if (isOver) return;
    const timer = setInterval(() => setNow(Date.now()), 250);
    return () => clearInterval(timer);
  }, [time, isOver]);
  return time === null ? 0 : Math.max(0, Math.ceil((time - now) / 1000));
}
