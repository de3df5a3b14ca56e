import { useEffect, useRef, useState } from "preact/hooks";
import { isObject, jsonOrText } from "../cards/loose-json";
import { Button } from "../ui/button";
import { PlusIcon } from "../ui/icons";

/** A new item of a list: written in a field and added by Enter; of a list of objects, an empty one like the last. */
export function NewItem({ items, label, onAdd }: { items: readonly unknown[]; label: string; onAdd(item: unknown): void }) {
  const [text, setText] = useState("");
  const last = items.at(-1);
  if (typeof last === "object" && last !== null) {
    return (
      <Button kind="quiet" icon={PlusIcon} class="state-add" onClick={() => onAdd(likeLast(items))}>
        Add an item
      </Button>
    );
  }
  const isFitting = text.trim() !== "" && (typeof last !== "number" || Number.isFinite(Number(text)));
  return (
    <form
      class="state-new-item"
      onSubmit={(event) => {
        event.preventDefault();
        if (!isFitting) return;
        onAdd(typeof last === "number" ? Number(text) : text.trim());
        setText("");
      }}
    >
      <PlusIcon size={14} />
      <input class="state-input" aria-label={`New item in ${label || "the list"}`} placeholder="Add an item" value={text} onInput={(event) => setText(event.currentTarget.value)} />
      {text && (
        <Button type="submit" kind="quiet" disabled={!isFitting}>
          Add
        </Button>
      )}
    </form>
  );
}

export function NewMember({ taken, onAdd }: { taken: readonly string[]; onAdd(name: string, value: unknown): void }) {
  const [isOpen, setOpen] = useState(false);
  if (isOpen) {
    return (
      <MemberForm
        taken={taken}
        onClose={() => setOpen(false)}
        onAdd={(name, value) => {
          onAdd(name, value);
          setOpen(false);
        }}
      />
    );
  }
  return (
    <Button kind="quiet" icon={PlusIcon} class="state-add" onClick={() => setOpen(true)}>
      Add a member
    </Button>
  );
}

interface MemberFormProps {
  taken: readonly string[];
  onAdd(name: string, value: unknown): void;
  onClose(): void;
}

function MemberForm({ taken, onAdd, onClose }: MemberFormProps) {
  const [name, setName] = useState("");
  const [value, setValue] = useState("");
  const first = useRef<HTMLInputElement>(null);
  useEffect(() => first.current?.focus(), []);
  const isTaken = taken.includes(name);
  return (
    <form
      class="state-new"
      onSubmit={(event) => {
        event.preventDefault();
        if (name && !isTaken) onAdd(name, jsonOrText(value));
      }}
      onKeyDown={(event) => {
        if (event.key !== "Escape") return;
        event.stopPropagation();
        onClose();
      }}
    >
      <input ref={first} class="entry-input" aria-label="Name" placeholder="name" value={name} aria-invalid={isTaken} onInput={(event) => setName(event.currentTarget.value)} />
      <input class="entry-input" aria-label="Value, as text or JSON" placeholder="text or JSON" value={value} onInput={(event) => setValue(event.currentTarget.value)} />
      <Button type="submit" disabled={!name || isTaken}>
        {isTaken ? "Name is taken" : "Add"}
      </Button>
    </form>
  );
}

/** A new item is of the kind of the one before it. */
function likeLast(items: readonly unknown[]): unknown {
  const last = items.at(-1);
  if (Array.isArray(last)) return [];
  if (isObject(last)) return Object.fromEntries(Object.keys(last).map((name) => [name, likeLast([last[name]])]));
  return typeof last === "number" ? 0 : typeof last === "boolean" ? false : "";
}
