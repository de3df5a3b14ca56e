import type { ComponentChildren } from "preact";
import { useCallback, useState } from "preact/hooks";
import type { ThreadSession } from "../session/types";
import { Button, Spinner } from "../ui/button";
import { ArrowDownIcon } from "../ui/icons";
import { memo } from "../ui/memo";
import { MessageView } from "./message-view";
import { useScrolling } from "./scrolling";

interface MessageListProps {
  session: ThreadSession;
  /** What stands behind the last message: progress, questions, errors. */
  children: ComponentChildren;
}

/** The conversation. Stays at its end while the reader is there; older messages come when the reader nears the top. */
export function MessageList({ session, children }: MessageListProps) {
  const [isFailed, setFailed] = useState(false);
  const loadOlder = useCallback(async () => {
    if (!session.hasOlder.peek()) return;
    setFailed(false);
    await session.loadOlder().catch(() => setFailed(true));
  }, [session]);
  const { scroller, content, isAtEnd, toEnd } = useScrolling(loadOlder);
  return (
    <>
      <div class="message-scroll" ref={scroller} tabIndex={0} role="region" aria-label="Conversation">
        <div class="message-column" ref={content}>
          {session.hasOlder.value && (
            <div class="older">
              {isFailed ? <Button onClick={loadOlder}>Load older messages</Button> : <Spinner label="Loading older messages" />}
            </div>
          )}
          <Messages session={session} />
          <div class="message-end">{children}</div>
        </div>
      </div>
      {!isAtEnd && (
        <div class="jump-anchor">
          <Button class="jump" icon={ArrowDownIcon} onClick={toEnd}>
            Jump to newest
          </Button>
        </div>
      )}
    </>
  );
}

const Messages = memo(({ session }: { session: ThreadSession }) => (
  <ol class="message-list" aria-label="Messages">
    {session.store.ids.value.map((id) => (
      <MessageView key={id} session={session} id={id} />
    ))}
  </ol>
));
