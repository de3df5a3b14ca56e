import { useState } from "preact/hooks";
import type { ThreadItem } from "../api/threads";
import { Spinner } from "../ui/button";
import { MoreIcon, PencilIcon, TrashIcon } from "../ui/icons";
import { Menu } from "../ui/menu";
import { currentSession, openThread } from "./current";
import { DeleteDialog } from "./delete-dialog";
import { RenameDialog } from "./rename-dialog";
import { titleOf } from "./thread-list";

export function ThreadEntry({ item }: { item: ThreadItem }) {
  const [dialog, setDialog] = useState<"rename" | "delete" | null>(null);
  const title = item.title ?? titleOf(item.threadId) ?? "Untitled";
  const isCurrent = currentSession.value.threadId === item.threadId;
  return (
    <li class={`thread-entry ${isCurrent ? "current" : ""}`}>
      <a
        href={`#/t/${item.threadId}`}
        aria-current={isCurrent ? "page" : undefined}
        title={title}
        onClick={(event) => {
          if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
          event.preventDefault();
          openThread(item.threadId);
        }}
      >
        <span class="thread-title">{title}</span>
        {item.activeRun !== null && <Spinner label="An answer is being written" />}
        {item.pendingInterrupts > 0 && (
          <span class="thread-asks" title="Waits for your answer">
            <span class="unseen">Waits for your answer</span>
          </span>
        )}
      </a>
      <Menu
        small
        label={`More for ${title}`}
        icon={MoreIcon}
        items={[
          { label: "Rename", icon: PencilIcon, onSelect: () => setDialog("rename") },
          { label: "Delete", icon: TrashIcon, danger: true, onSelect: () => setDialog("delete") },
        ]}
      />
      {dialog === "rename" && <RenameDialog threadId={item.threadId} title={item.title ?? ""} onClose={() => setDialog(null)} />}
      {dialog === "delete" && <DeleteDialog threadId={item.threadId} title={title} onClose={() => setDialog(null)} />}
    </li>
  );
}
