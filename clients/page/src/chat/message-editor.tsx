import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { fileLimits } from "../api/capabilities";
import { ProblemNote } from "../problems/problem-note";
import { textOf, type UserMessage } from "../session/message-parts";
import { asProblem, type Problem, type ThreadSession } from "../session/types";
import { Button } from "../ui/button";
import { AttachmentStrip } from "./attachments/attachment-strip";
import { AttachmentTray } from "./attachments/tray";
import { attachmentsOf, contentOf } from "./composer/content";
import { whatEnterDoes } from "./composer/keys";
import { isTouch } from "./composer/text-field";

interface MessageEditorProps {
  session: ThreadSession;
  message: UserMessage;
  onClose(): void;
}

/** Changes a message that was sent. Sending it replaces the message and everything after it. */
export function MessageEditor({ session, message, onClose }: MessageEditorProps) {
  const [text, setText] = useState(() => textOf(message.content));
  const [problem, setProblem] = useState<Problem | null>(null);
  const [isSending, setSending] = useState(false);
  const field = useRef<HTMLTextAreaElement>(null);
  const tray = useMemo(() => {
    const files = new AttachmentTray(() => fileLimits.peek());
    files.restore(attachmentsOf(message.content));
    return files;
  }, []);
  // Before the field is drawn: later, the caret would jump under the first keys.
  useLayoutEffect(() => {
    field.current?.focus();
    field.current?.setSelectionRange(text.length, text.length);
  }, []);
  const isEmpty = text.trim() === "" && tray.items.value.length === 0;
  const send = async () => {
    if (isEmpty || isSending || tray.isUploading.peek() || tray.hasFailed.peek()) return;
    setProblem(null);
    setSending(true);
    const parts = tray.take();
    try {
      await session.regenerate(message.id, contentOf(text.trim(), parts));
      onClose();
    } catch (error) {
      tray.restore(parts);
      setProblem(asProblem(error));
      setSending(false);
    }
  };
  return (
    <form
      class="message-editor"
      aria-label="Edit the message"
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
      onKeyDown={(event) => {
        if (event.key !== "Escape") return;
        event.stopPropagation();
        onClose();
      }}
    >
      <AttachmentStrip tray={tray} />
      <textarea
        ref={field}
        value={text}
        aria-label="Edited message"
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (whatEnterDoes(event, { isBusy: false, isTouch: isTouch() }) === null) return;
          event.preventDefault();
          void send();
        }}
      />
      {problem && <ProblemNote problem={problem} />}
      <div class="message-editor-foot">
        <p>Everything after this message is replaced.</p>
        <Button onClick={onClose}>Cancel</Button>
        <Button kind="primary" type="submit" busy={isSending} disabled={isEmpty}>
          Send
        </Button>
      </div>
    </form>
  );
}
