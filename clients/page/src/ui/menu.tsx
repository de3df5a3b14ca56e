import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { IconButton } from "./button";
import type { Icon } from "./icons";
import "./menu.css";

export interface MenuItem {
  label: string;
  icon?: Icon;
  danger?: boolean;
  /** For a choice among several: whether it is the chosen one. */
  checked?: boolean;
  onSelect(): void;
}

interface MenuProps {
  label: string;
  icon: Icon;
  items: readonly MenuItem[];
  small?: boolean;
}

/** A button that opens a menu. Arrow keys move, Esc closes and gives the focus back to the button. */
export function Menu({ label, icon, items, small = false }: MenuProps) {
  const [open, setOpen] = useState(false);
  const anchor = useRef<HTMLSpanElement>(null);
  // Before the next key: an arrow that comes at once must find the focus in the menu.
  useLayoutEffect(() => {
    if (!open) return;
    entries(anchor.current)[0]?.focus();
    const closeOutside = (event: Event) => {
      if (!anchor.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener("pointerdown", closeOutside);
    document.addEventListener("focusin", closeOutside);
    return () => {
      document.removeEventListener("pointerdown", closeOutside);
      document.removeEventListener("focusin", closeOutside);
    };
  }, [open]);

  const close = () => {
    setOpen(false);
    anchor.current?.querySelector("button")?.focus();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (!open) return;
    const all = entries(anchor.current);
    const at = all.indexOf(document.activeElement as HTMLButtonElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1 + all.length, Home: 0, End: all.length - 1 }[event.key];
    if (event.key === "Escape") {
      event.stopPropagation();
      close();
    } else if (to !== undefined) {
      event.preventDefault();
      all[to % all.length]?.focus();
    }
  };
  return (
    <span class="menu-anchor" ref={anchor} onKeyDown={onKeyDown}>
      <IconButton icon={icon} label={label} small={small} aria-haspopup="menu" aria-expanded={open} onClick={() => setOpen(!open)} />
      {open && (
        <div class="menu" role="menu" aria-label={label}>
          {items.map((item) => (
            <button
              key={item.label}
              type="button"
              role={item.checked === undefined ? "menuitem" : "menuitemradio"}
              aria-checked={item.checked}
              class={item.danger ? "danger" : ""}
              onClick={() => {
                close();
                item.onSelect();
              }}
            >
              {item.icon && <item.icon size={16} />}
              {item.label}
            </button>
          ))}
        </div>
      )}
    </span>
  );
}

function entries(anchor: HTMLElement | null): HTMLButtonElement[] {
  return [...(anchor?.querySelectorAll<HTMLButtonElement>(".menu button") ?? [])];
}
