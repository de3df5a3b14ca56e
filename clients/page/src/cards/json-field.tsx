import { useRef, useState } from "preact/hooks";
import { parsed } from "./loose-json";

interface Props {
  id: string;
  label: string;
  value: unknown;
  /** Given `undefined` while the text is no JSON. */
  onChange(value: unknown): void;
  describedBy?: string | undefined;
  rows?: number;
}

/** A value edited as JSON text. The text stays as it was typed, also while it is no JSON. */
export function JsonField({ id, label, value, onChange, describedBy, rows }: Props) {
  const [text, setText] = useState(() => JSON.stringify(value, null, 2) ?? "");
  const told = useRef(value);
  // A value from outside replaces the text; what comes back from typing does not.
  if (value !== undefined && JSON.stringify(value) !== JSON.stringify(told.current)) {
    told.current = value;
    setText(JSON.stringify(value, null, 2));
  }
  const isValid = parsed(text) !== undefined;
  return (
    <textarea
      id={id}
      class="entry-input entry-json"
      aria-label={label}
      aria-invalid={!isValid}
      aria-describedby={describedBy}
      spellcheck={false}
      rows={rows ?? Math.min(14, Math.max(3, text.split("\n").length))}
      value={text}
      onInput={(event) => {
        const next = event.currentTarget.value;
        setText(next);
        told.current = parsed(next);
        onChange(told.current);
      }}
    />
  );
}
