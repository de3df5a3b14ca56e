import { useEffect, useMemo, useRef } from "preact/hooks";
import { askForLimits, fileLimits } from "../../api/capabilities";
import { isLive } from "../../session/run-view";
import type { ThreadSession } from "../../session/types";
import { IconButton } from "../../ui/button";
import { SendIcon, StopIcon } from "../../ui/icons";
import { Menu } from "../../ui/menu";
import { toastError } from "../../ui/toast";
import { AttachmentStrip } from "../attachments/attachment-strip";
import { DropZone } from "../attachments/drop-zone";
import { ACCEPTED } from "../attachments/media-type";
import { editedMessageId } from "../editing";
import { MicrophoneIcon, MoreSendIcon, PaperclipIcon } from "../icons";
import { Dictaphone } from "../microphone/dictation";
import { RecordingBar } from "../microphone/recording-bar";
import { lastQuestion } from "../../session/turns";
import { composerOf, type ComposerState } from "./composer-state";
import { TextField, type TextFieldHandle } from "./text-field";
import { UnsentMessages } from "./unsent-messages";
import "./composer.css";

/** Where the user writes, attaches and speaks. */
export function Composer({ session }: { session: ThreadSession }) {
  const state = composerOf(session);
  const field = useRef<TextFieldHandle>(null);
  const dictaphone = useMemo(() => {
    return new Dictaphone((text) => {
      state.insert(text);
      field.current?.focus();
    });
  }, [state]);
  useEffect(() => {
    void askForLimits();
    const ends = [state.keepDraft(), state.outbox.watchNetwork()];
    return () => {
      for (const end of ends) end();
      dictaphone.cancel();
    };
  }, [state, dictaphone]);
  const attach = useMemo(() => (files: File[]) => state.tray.add(files), [state]);
  const isBusy = isLive(session.run.value);
  const isRecording = dictaphone.now.value.state !== "idle";
  const send = () => void state.send();
  const interrupt = () => void state.send({ onBusy: "supersede" });
  return (
    <div class="composer-area">
      <UnsentMessages session={session} state={state} onEdit={() => field.current?.focus()} />
      <DropZone onFiles={attach} />
      <form
        class="composer"
        onSubmit={(event) => {
          event.preventDefault();
          send();
        }}
      >
        <AttachmentStrip tray={state.tray} onText={(text) => state.insert(text)} />
        <TextField
          key={session.threadId}
          handle={field}
          state={state}
          isBusy={isBusy}
          onFiles={attach}
          onSend={send}
          onInterrupt={interrupt}
          onEditLast={() => (editedMessageId.value = lastQuestion(session.messages.peek())) !== null}
        />
        {isRecording ? (
          <RecordingBar dictaphone={dictaphone} />
        ) : (
          <div class="composer-bar">
            <Picker onFiles={attach} />
            <IconButton icon={MicrophoneIcon} label="Dictate" onClick={() => void dictaphone.start(fileLimits.peek().maxRecordingSeconds)} />
            <Hint state={state} isBusy={isBusy} />
            {isBusy && <IconButton class="stop" icon={StopIcon} label="Stop" onClick={() => void session.cancel().catch(toastError)} />}
            {isBusy && state.canSend.value && (
              <Menu
                label="How to send"
                icon={MoreSendIcon}
                items={[
                  { label: "Send after this answer", onSelect: send },
                  { label: "Interrupt and send", icon: StopIcon, onSelect: interrupt },
                ]}
              />
            )}
            <IconButton
              class="send"
              type="submit"
              icon={SendIcon}
              label={isBusy ? "Send after this answer" : "Send"}
              disabled={!state.canSend.value || state.isWaiting.value}
            />
          </div>
        )}
      </form>
    </div>
  );
}

function Hint({ state, isBusy }: { state: ComposerState; isBusy: boolean }) {
  return (
    <span class="composer-hint" role="status">
      {state.isWaiting.value ? (
        "Sent as soon as the upload is done"
      ) : state.tray.hasFailed.value ? (
        "Remove what cannot be attached"
      ) : isBusy && state.canSend.value ? (
        <>
          Waits for this answer <span class="keys">· Ctrl+Enter interrupts it</span>
        </>
      ) : null}
    </span>
  );
}

function Picker({ onFiles }: { onFiles(files: File[]): void }) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <input
        ref={input}
        type="file"
        multiple
        hidden
        accept={ACCEPTED}
        aria-label="Files to attach"
        onChange={(event) => {
          onFiles([...(event.currentTarget.files ?? [])]);
          // The same file may be chosen again.
          event.currentTarget.value = "";
        }}
      />
      <IconButton icon={PaperclipIcon} label="Attach files" onClick={() => input.current?.click()} />
    </>
  );
}
