/** Panels beside the conversation, such as the inspector: one is open at a time. */
import { signal } from "@preact/signals";
import type { ComponentType } from "preact";
import type { ThreadSession } from "../session/types";
import type { Icon } from "../ui/icons";

export interface Panel {
  id: string;
  /** Of its button and its heading. */
  title: string;
  icon: Icon;
  /** Loaded when the panel is opened for the first time: `() => import("…").then((m) => m.Component)`. */
  load(): Promise<ComponentType<{ session: ThreadSession }>>;
  /** Whether there is such a panel here; read while drawing. */
  isOffered?(): boolean;
}

/** All panels, in the order of their buttons. */
export const panels: readonly Panel[] = [];

export const openPanel = signal<string | null>(null);

export function togglePanel(id: string): void {
  openPanel.value = openPanel.value === id ? null : id;
}
