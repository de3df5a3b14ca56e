import { useEffect, useRef, useState } from "preact/hooks";
import { isLive } from "../session/run-view";
import type { ThreadSession } from "../session/types";
import { IconButton } from "../ui/button";
import { SendIcon, StopIcon } from "../ui/icons";
import { toastError } from "../ui/toast";

/** Where the user writes. */
export function Composer({ session }: { session: ThreadSession }) {
  const [text, setText] = useState("");
  const field = useRef<HTMLTextAreaElement>(null);
  useEffect(() => field.current?.focus(), [session]);
  const send = async () => {
    const words = text.trim();
    if (!words) return;
    setText("");
    try {
      await session.send(words);
    } catch (error) {
      setText(words);
      toastError(error);
    }
  };
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      <textarea
        ref={field}
        rows={1}
        value={text}
        aria-label="Message"
        placeholder="Write a message"
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
          event.preventDefault();
          void send();
        }}
      />
      {isLive(session.run.value) && !text.trim() ? (
        <IconButton icon={StopIcon} label="Stop" onClick={() => session.cancel().catch(toastError)} />
      ) : (
        <IconButton class="send" type="submit" icon={SendIcon} label="Send" disabled={!text.trim()} />
      )}
    </form>
  );
}
