import { signal } from "@preact/signals";
import { IconButton } from "./button";
import { AlertIcon, CloseIcon } from "./icons";
import "./toast.css";

interface Toast {
  id: number;
  text: string;
  bad: boolean;
}

const SHOWN_MILLISECONDS = 6000;
const toasts = signal<readonly Toast[]>([]);
let last = 0;

/** Show a short line at the bottom for a few seconds. What needs an answer belongs in a dialog. */
export function toast(text: string, { bad = false }: { bad?: boolean } = {}): void {
  const id = ++last;
  toasts.value = [...toasts.value.slice(-2), { id, text, bad }];
  setTimeout(() => dismiss(id), SHOWN_MILLISECONDS);
}

/** Show why something did not work. */
export function toastError(error: unknown): void {
  toast(error instanceof Error ? error.message : String(error), { bad: true });
}

function dismiss(id: number): void {
  toasts.value = toasts.value.filter((one) => one.id !== id);
}

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map((one) => (
        <div key={one.id} class={`toast ${one.bad ? "bad" : ""}`}>
          {one.bad && <AlertIcon />}
          <p>{one.text}</p>
          <IconButton icon={CloseIcon} label="Dismiss" small onClick={() => dismiss(one.id)} />
        </div>
      ))}
    </div>
  );
}
