import { useEffect, useState } from "preact/hooks";
import { PaperclipIcon } from "../icons";

/** Takes files that are dropped anywhere on the page, and says so while they are carried over it. */
export function DropZone({ onFiles }: { onFiles(files: File[]): void }) {
  const [isOver, setOver] = useState(false);
  useEffect(() => {
    // Enter and leave come for every element that is passed: their difference says whether the page has been left.
    let depth = 0;
    const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    const move = (step: number) => (event: DragEvent) => {
      if (!hasFiles(event)) return;
      depth = Math.max(0, depth + step);
      setOver(depth > 0);
    };
    const listeners = {
      dragenter: move(1),
      dragleave: move(-1),
      // Without this, the browser shows a dropped file in place of the page.
      dragover: (event: DragEvent) => hasFiles(event) && event.preventDefault(),
      drop: (event: DragEvent) => {
        if (!hasFiles(event)) return;
        event.preventDefault();
        depth = 0;
        setOver(false);
        onFiles([...(event.dataTransfer?.files ?? [])]);
      },
    };
    for (const [name, listener] of Object.entries(listeners)) document.addEventListener(name, listener as EventListener);
    return () => {
      for (const [name, listener] of Object.entries(listeners)) document.removeEventListener(name, listener as EventListener);
    };
  }, [onFiles]);
  if (!isOver) return null;
  return (
    <div class="drop-zone">
      <PaperclipIcon size={28} />
      Drop files to attach them
    </div>
  );
}
