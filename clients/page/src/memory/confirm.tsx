import { useSignal, type Signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { asProblem, type Problem } from "../session/types";
import { Button } from "../ui/button";

interface ConfirmProps {
  isOpen: Signal<boolean>;
  question: string;
  /** Of the button that does it. */
  action: string;
  /** What it throws is said in place: a toast would be behind the dialog. */
  onConfirm(): Promise<void>;
  /** The button that asks. */
  children(open: () => void): ComponentChildren;
}

/** A button that asks in its own place before it does something. Esc takes it back, and leaves the dialog open. */
export function Confirm({ isOpen, question, action, onConfirm, children }: ConfirmProps) {
  const root = useRef<HTMLDivElement>(null);
  const wasOpen = useRef(false);
  const isBusy = useSignal(false);
  const problem = useSignal<Problem | null>(null);
  useLayoutEffect(() => {
    // Open: the focus is on what does no harm. Taken back: where it was.
    if (isOpen.value !== wasOpen.current) root.current!.querySelector<HTMLElement>("button")?.focus();
    wasOpen.current = isOpen.value;
  }, [isOpen.value]);
  const close = () => {
    if (!isBusy.peek()) isOpen.value = false;
  };
  const confirm = async () => {
    isBusy.value = true;
    problem.value = null;
    try {
      await onConfirm();
      isOpen.value = false;
    } catch (error) {
      problem.value = asProblem(error);
    }
    isBusy.value = false;
  };
  if (!isOpen.value) return <div ref={root}>{children(() => ((problem.value = null), (isOpen.value = true)))}</div>;
  return (
    <div
      ref={root}
      class="confirm"
      role="group"
      aria-label={question}
      onKeyDown={(event) => {
        if (event.key !== "Escape") return;
        event.preventDefault();
        close();
      }}
    >
      <p>{question}</p>
      {problem.value && (
        <p class="confirm-problem" role="alert">
          {problem.value.message}
        </p>
      )}
      <div class="confirm-buttons">
        <Button onClick={close}>Cancel</Button>
        <Button kind="danger" busy={isBusy.value} onClick={() => void confirm()}>
          {action}
        </Button>
      </div>
    </div>
  );
}
