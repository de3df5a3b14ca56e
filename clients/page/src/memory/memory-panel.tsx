import { useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { Refusal } from "../problems/refusal";
import { isOnline } from "../session/online";
import { Button, Spinner } from "../ui/button";
import { TrashIcon } from "../ui/icons";
import { Confirm } from "./confirm";
import { MemoryEntry } from "./memory-entry";
import { MemoryList } from "./memory-list";
import "./memory.css";

/** What agents remember of the user, to look at and to delete. A chunk of its own. */
export function MemoryPanel() {
  const list = useMemo(() => new MemoryList(), []);
  const said = useSignal("");
  const online = isOnline.value;
  useEffect(() => {
    // Without a network nothing is asked; back on it, what failed is asked again.
    if (online && (list.items.peek() === null || list.problem.peek()?.code === "network")) void list.read();
  }, [list, online]);
  useEffect(() => () => list.stop(), [list]);
  return (
    <div class="memory">
      <p class="memory-note">
        What agents were asked to remember about you, for later conversations. When you delete a memory, the conversation in
        which it was said stays.
      </p>
      {!online && (
        <p class="memory-note" role="status">
          You are offline. Memories can be read and deleted when the network is back.
        </p>
      )}
      <Memories list={list} onSaid={(words) => (said.value = words)} />
      {list.problem.value ? (
        <Refusal problem={list.problem.value} onRetry={() => void list.read()} />
      ) : (
        list.nextBefore.value !== null && (
          <Button class="memory-more" kind="quiet" busy={list.isReading.value} disabled={!online} onClick={() => void list.read()}>
            Load more
          </Button>
        )
      )}
      <div class="unseen" role="status">
        {said.value}
      </div>
    </div>
  );
}

function Memories({ list, onSaid }: { list: MemoryList; onSaid(words: string): void }) {
  const items = list.items.value;
  const root = useRef<HTMLDivElement>(null);
  /** The place of the entry that was deleted: the focus goes to the one that has it now. */
  const deletedAt = useRef<number | null>(null);
  useLayoutEffect(() => {
    if (deletedAt.current === null) return;
    const buttons = root.current!.querySelectorAll<HTMLElement>(".memories .icon-button");
    const next = buttons[Math.min(deletedAt.current, buttons.length - 1)] ?? root.current!;
    next.focus();
    deletedAt.current = null;
  }, [items]);
  if (items === null) {
    return list.problem.value || !isOnline.value ? null : (
      <div class="memory-empty">
        <Spinner label="Loading the memories" />
      </div>
    );
  }
  const isEmpty = items.length === 0;
  return (
    <div ref={root} tabIndex={-1} role="group" aria-label="Memories">
      {isEmpty && list.nextBefore.value === null && (
        <div class="memory-empty">
          <p>Nothing is remembered.</p>
          <p>Say “Remember that …” in a conversation to keep something.</p>
        </div>
      )}
      {!isEmpty && <DeleteAll list={list} onDeleted={() => (onSaid("All memories are deleted."), root.current?.focus())} />}
      {!isEmpty && (
        <ul class="memories">
          {items.map((memory, place) => (
            <MemoryEntry
              key={memory.memoryId}
              memory={memory}
              onDelete={async () => {
                deletedAt.current = place;
                try {
                  await list.delete(memory.memoryId);
                  onSaid("The memory is deleted.");
                } catch (error) {
                  deletedAt.current = null;
                  throw error;
                }
              }}
            />
          ))}
        </ul>
      )}
    </div>
  );
}

function DeleteAll({ list, onDeleted }: { list: MemoryList; onDeleted(): void }) {
  const isAsked = useSignal(false);
  const count = list.items.value!.length;
  const areMore = list.nextBefore.value !== null;
  const words = areMore ? `The newest ${count} are shown` : count === 1 ? "1 memory" : `${count} memories`;
  return (
    <div class="memory-head">
      <p>{words}</p>
      <Confirm
        isOpen={isAsked}
        question={`Delete all memories${areMore ? ", also those that are not shown" : ""}? This cannot be undone.`}
        action="Delete all"
        onConfirm={async () => {
          await list.deleteAll();
          onDeleted();
        }}
      >
        {(open) => (
          <Button kind="quiet" icon={TrashIcon} disabled={!isOnline.value} onClick={open}>
            Delete all
          </Button>
        )}
      </Confirm>
    </div>
  );
}
