import { useState } from "preact/hooks";
import { IconButton } from "./button";
import { CheckIcon, CopyIcon } from "./icons";
import { toast } from "./toast";

const SHOWN_MILLISECONDS = 1500;

export function CopyButton({ text, label = "Copy" }: { text: string | (() => string); label?: string }) {
  const [isDone, setDone] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(typeof text === "string" ? text : text());
      setDone(true);
      setTimeout(() => setDone(false), SHOWN_MILLISECONDS);
    } catch {
      // Without https, browsers have no clipboard for pages.
      toast("The browser does not let this page use the clipboard.", { bad: true });
    }
  };
  return <IconButton icon={isDone ? CheckIcon : CopyIcon} label={isDone ? "Copied" : label} small onClick={copy} />;
}
