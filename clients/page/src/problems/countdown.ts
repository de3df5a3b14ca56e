import { useEffect, useState } from "preact/hooks";

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
