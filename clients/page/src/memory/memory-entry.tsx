import { useSignal } from "@preact/signals";
import type { Memory } from "../api/memory";
import { isOnline } from "../session/online";
import { IconButton } from "../ui/button";
import { cut } from "../ui/cut";
import { TrashIcon } from "../ui/icons";
import { Confirm } from "./confirm";

const DAY = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium" });
const MOMENT = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "short" });

export function MemoryEntry({ memory, onDelete }: { memory: Memory; onDelete(): Promise<void> }) {
  const isAsked = useSignal(false);
  const at = new Date(memory.createdAt);
  return (
    <li class={isAsked.value ? "asked" : ""}>
      <div class="memory-text">
        <p dir="auto">{memory.text}</p>
        <time dateTime={memory.createdAt} title={MOMENT.format(at)}>
          {DAY.format(at)}
        </time>
      </div>
      <Confirm isOpen={isAsked} question="Delete this memory?" action="Delete" onConfirm={onDelete}>
        {(open) => <IconButton icon={TrashIcon} label={`Delete: ${cut(memory.text, 60)}`} disabled={!isOnline.value} onClick={open} />}
      </Confirm>
    </li>
  );
}
