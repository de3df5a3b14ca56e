import { useState } from "preact/hooks";
import { isObject } from "../cards/loose-json";
import { IconButton } from "../ui/button";
import { ChevronIcon, CloseIcon } from "../ui/icons";
import { plural } from "../usage/format";
import { NewItem, NewMember } from "./new-places";
import { type Path, pointerOf, removeAt, setAt } from "./paths";

interface TreeProps {
  value: unknown;
  changed: ReadonlySet<string>;
  holders: ReadonlySet<string>;
  onChange(value: unknown): void;
}

/** A JSON value as rows that are edited in their place. */
export function StateTree(props: TreeProps) {
  const { value, onChange } = props;
  return (
    <div class="state-tree">
      <Members {...props} node={value} path={[]} set={(path, next) => onChange(setAt(value, path, next))} remove={(path) => onChange(removeAt(value, path))} />
    </div>
  );
}

interface NodeProps extends TreeProps {
  node: unknown;
  path: Path;
  set(path: Path, next: unknown): void;
  remove(path: Path): void;
}

function Members(props: NodeProps) {
  const { node, path, set } = props;
  if (Array.isArray(node)) {
    return (
      <>
        {node.map((item, place) => (
          <Row key={place} {...props} node={item} path={[...path, place]} name={String(place + 1)} />
        ))}
        <NewItem items={node} label={pointerOf(path)} onAdd={(item) => set(path, [...node, item])} />
      </>
    );
  }
  if (isObject(node)) {
    return (
      <>
        {Object.entries(node).map(([name, member]) => (
          <Row key={name} {...props} node={member} path={[...path, name]} name={name} />
        ))}
        <NewMember taken={Object.keys(node)} onAdd={(name, member) => set([...path, name], member)} />
      </>
    );
  }
  return <Scalar node={node} label="State" onChange={(next) => set(path, next)} />;
}

function Row(props: NodeProps & { name: string }) {
  const { node, path, name, changed, holders, set, remove } = props;
  const at = pointerOf(path);
  const mark = changed.has(at) ? "changed" : "";
  const removal = <IconButton small icon={CloseIcon} label={`Remove ${name}`} onClick={() => remove(path)} />;
  if (typeof node === "object" && node !== null) {
    return (
      <div class={`state-group ${mark}`} data-path={at}>
      <details open={path.length < 3 || holders.has(at)}>
        <summary>
          <ChevronIcon size={14} />
          <span class="state-name">{name}</span>
          <span class="state-count">{plural(Object.keys(node).length, Array.isArray(node) ? "item" : "member")}</span>
          {mark && <ChangedMark />}
        </summary>
        <div class="state-members">
          <Members {...props} />
        </div>
      </details>
      {removal}
      </div>
    );
  }
  return (
    <div class={`state-row ${mark}`} data-path={at}>
      <span class="state-name">{name}</span>
      <Scalar node={node} label={at} onChange={(next) => set(path, next)} />
      {mark && <ChangedMark />}
      {removal}
    </div>
  );
}

function ChangedMark() {
  return <span class="state-mark">changed</span>;
}

/** A text stays as it is written until the field is left, so that the tree does not move below the fingers. */
function Scalar({ node, label, onChange }: { node: unknown; label: string; onChange(next: unknown): void }) {
  const [typed, setTyped] = useState<string | null>(null);
  if (typeof node === "boolean") {
    return <input class="entry-check" type="checkbox" aria-label={label} checked={node} onChange={(event) => onChange(event.currentTarget.checked)} />;
  }
  const isNumber = typeof node === "number";
  const commit = () => {
    if (typed === null) return;
    setTyped(null);
    const next = isNumber ? Number(typed) : typed;
    if (isNumber && (typed.trim() === "" || !Number.isFinite(next))) return;
    if (next !== node) onChange(next);
  };
  return (
    <input
      class={`state-input ${isNumber ? "number" : ""}`}
      inputMode={isNumber ? "decimal" : undefined}
      aria-label={label}
      placeholder={node === null ? "null" : "empty"}
      value={typed ?? (node === null ? "" : String(node))}
      onInput={(event) => setTyped(event.currentTarget.value)}
      onBlur={commit}
      onKeyDown={(event) => {
        if (event.key === "Enter") commit();
        if (event.key === "Escape" && typed !== null) {
          event.stopPropagation();
          setTyped(null);
        }
      }}
    />
  );
}
