import { OpenQuestions } from "../cards/open-questions";
import { RunError } from "../cards/run-error";
import { RunProgress } from "../cards/run-progress";
import { isLive } from "../session/run-view";
import { textOf } from "../session/message-parts";
import type { ThreadSession } from "../session/types";
import { Spinner } from "../ui/button";
import { Composer } from "./composer/composer";
import { ConnectionBanner } from "./connection-banner";
import { EmptyThread } from "./empty-thread";
import { MessageList } from "./message-list";
import "./chat.css";

/** An open thread: its conversation and where the user writes. */
export function ChatView({ session }: { session: ThreadSession }) {
  const isOpened = session.isOpened.value;
  const isEmpty = session.store.ids.value.length === 0;
  return (
    <section class="chat" aria-label="Chat">
      <ConnectionBanner session={session} />
      {!isOpened ? (
        <div class="empty-thread">
          <Spinner label="Loading the conversation" />
        </div>
      ) : isEmpty ? (
        <EmptyThread session={session} />
      ) : (
        <MessageList key={session.threadId} session={session}>
          <RunProgress session={session} />
          <OpenQuestions session={session} />
          <RunError session={session} />
        </MessageList>
      )}
      <div class="chat-foot">
        <Composer session={session} />
      </div>
      <AnswerRead session={session} />
    </section>
  );
}

/** Reads an answer to users of screen readers when it is complete, not word by word. */
function AnswerRead({ session }: { session: ThreadSession }) {
  const last = isLive(session.run.value) || !session.isOpened.value ? undefined : session.messages.value.at(-1);
  return (
    <div class="unseen" aria-live="polite">
      {last?.role === "assistant" ? textOf(last.content) : ""}
    </div>
  );
}
