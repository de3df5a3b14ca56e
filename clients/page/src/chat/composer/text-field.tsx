import type { Ref } from "preact";
import { useImperativeHandle, useLayoutEffect, useRef } from "preact/hooks";
import { composerField } from "../editing";
import type { ComposerState } from "./composer-state";
import { whatEnterDoes } from "./keys";

export interface TextFieldHandle {
  focus(): void;
}

interface TextFieldProps {
  handle: Ref<TextFieldHandle>;
  state: ComposerState;
  isBusy: boolean;
  onFiles(files: File[]): void;
  onSend(): void;
  onInterrupt(): void;
  /** Arrow up in an empty field; returns whether there is a message to change. */
  onEditLast(): boolean;
}

/** A keyboard on the glass covers half of the conversation: it comes when it is wanted. */
export const isTouch = () => matchMedia("(pointer: coarse)").matches;

/** The text of a message; as high as it needs to be, up to a limit. */
export function TextField({ handle, state, isBusy, onFiles, onSend, onInterrupt, onEditLast }: TextFieldProps) {
  const field = useRef<HTMLTextAreaElement>(null);
  useImperativeHandle(handle, () => ({ focus: () => field.current?.focus() }), []);
  useLayoutEffect(() => {
    composerField.current = field.current;
    if (!isTouch()) field.current?.focus();
  }, [state]);
  const text = state.text.value;
  useLayoutEffect(() => grow(field.current), [text]);
  return (
    <textarea
      ref={field}
      rows={1}
      value={text}
      aria-label="Message"
      placeholder={isBusy ? "Write the next message" : "Write a message"}
      enterkeyhint={isTouch() ? "enter" : "send"}
      onInput={(event) => (state.text.value = event.currentTarget.value)}
      onPaste={(event) => {
        const files = pastedFiles(event.clipboardData);
        if (files.length === 0) return;
        event.preventDefault();
        onFiles(files);
      }}
      onKeyDown={(event) => {
        if (event.key === "ArrowUp" && text === "" && onEditLast()) return event.preventDefault();
        const does = whatEnterDoes(event, { isBusy, isTouch: isTouch() });
        if (does === null) return;
        event.preventDefault();
        if (does === "interrupt") onInterrupt();
        else onSend();
      }}
    />
  );
}

/** Browsers that cannot size a field by its content are helped. */
function grow(field: HTMLTextAreaElement | null): void {
  if (field === null || CSS.supports("field-sizing", "content")) return;
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
}

/** Office programs put a picture of a text beside the text: then the text is meant. */
function pastedFiles(data: DataTransfer | null): File[] {
  if (data === null || data.types.includes("text/plain")) return [];
  return [...data.files].map((file) => (file.name === "image.png" ? new File([file], pasteName(), { type: file.type }) : file));
}

function pasteName(): string {
  return `pasted ${new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }).replace(":", ".")}.png`;
}
