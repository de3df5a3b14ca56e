import type { ButtonHTMLAttributes, ComponentChildren } from "preact";
import type { Icon } from "./icons";
import "./button.css";

type ButtonAttributes = Omit<ButtonHTMLAttributes<HTMLButtonElement>, "icon" | "ref" | "class" | "disabled" | "type"> & {
  class?: string;
  disabled?: boolean;
  type?: "button" | "submit";
};

interface ButtonProps extends ButtonAttributes {
  kind?: "plain" | "primary" | "danger" | "quiet";
  icon?: Icon;
  /** Shows that its work is going on; it cannot be pressed meanwhile. */
  busy?: boolean;
  children: ComponentChildren;
}

export function Button({ kind = "plain", icon: Drawing, busy = false, children, class: name, ...rest }: ButtonProps) {
  return (
    <button type="button" {...rest} class={`button ${kind} ${name ?? ""}`} disabled={busy || (rest.disabled ?? false)} aria-busy={busy}>
      {busy ? <span class="spinner" aria-hidden="true" /> : Drawing && <Drawing size={16} />}
      {children}
    </button>
  );
}

interface IconButtonProps extends ButtonAttributes {
  icon: Icon;
  /** What it does, in words: read aloud, and shown as its tooltip. */
  label: string;
  small?: boolean;
  size?: number;
}

export function IconButton({ icon: Drawing, label, small = false, size, class: name, ...rest }: IconButtonProps) {
  return (
    <button type="button" title={label} aria-label={label} {...rest} class={`icon-button ${small ? "small" : ""} ${name ?? ""}`}>
      <Drawing size={size ?? (small ? 16 : 18)} />
    </button>
  );
}

export function Spinner({ label }: { label: string }) {
  return (
    <span role="status">
      <span class="spinner" aria-hidden="true" />
      <span class="unseen">{label}</span>
    </span>
  );
}
