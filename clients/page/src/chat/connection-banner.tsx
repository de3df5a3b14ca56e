import { useEffect, useState } from "preact/hooks";
import type { ThreadSession } from "../session/types";
import { OfflineIcon } from "../ui/icons";

/** A stream that comes back by itself within this time is nobody's business. */
const PATIENCE_MILLISECONDS = 2500;

/** Says that the line is broken, if it stays so. */
export function ConnectionBanner({ session }: { session: ThreadSession }) {
  const state = session.connection.value;
  const isBroken = state === "reconnecting" || state === "offline";
  const [isLong, setLong] = useState(false);
  useEffect(() => {
    if (!isBroken) return;
    const timer = setTimeout(() => setLong(true), PATIENCE_MILLISECONDS);
    return () => {
      clearTimeout(timer);
      setLong(false);
    };
  }, [isBroken]);
  const isShown = state === "offline" || (isBroken && isLong);
  return (
    <div role="status" aria-live="polite">
      {isShown && (
        <div class="chat-banner">
          <OfflineIcon size={16} />
          {state === "offline"
            ? "You are offline. The conversation goes on when the network is back."
            : "Connection lost. Reconnecting; the answer goes on meanwhile."}
        </div>
      )}
    </div>
  );
}
