/** Panels, such as the inspector: one is open beside the conversation at a time, and one over the page. */
import { signal } from "@preact/signals";
import type { ComponentType } from "preact";
import type { ThreadSession } from "../session/types";
import { embeddedPanels } from "../setup/panels";
import { leaveThread } from "../threads/current";
import { forgetThreads } from "../threads/thread-list";
import { BookmarkIcon, ChartIcon, type Icon, InspectorIcon, PersonIcon, StateIcon } from "../ui/icons";

export interface Panel {
  id: string;
  /** Of its button and its heading. */
  title: string;
  icon: Icon;
  /** `dialog`: about more than the open conversation, and over the page. Default: beside it. */
  place?: "side" | "dialog";
  /** About the user: its button is below the list of conversations, and not in the header of one. */
  isOfUser?: boolean;
  /** Loaded when the panel is opened for the first time: `() => import("…").then((m) => m.Component)`. */
  load(): Promise<ComponentType<{ session: ThreadSession }>>;
  /** Whether there is such a panel here; read while drawing. */
  isOffered?(): boolean;
}

/** All panels, in the order of their buttons. */
export const panels: readonly Panel[] = [
  {
    id: "state",
    title: "Shared state",
    icon: StateIcon,
    load: () => import("../shared-state/state-panel").then((module) => module.StatePanel),
  },
  {
    id: "inspector",
    title: "Inspector",
    icon: InspectorIcon,
    load: () => import("../inspector/inspector").then((module) => module.Inspector),
  },
  {
    id: "usage",
    title: "Usage",
    icon: ChartIcon,
    place: "dialog",
    load: () => import("../usage/usage-view").then((module) => module.UsageView),
  },
  ...embeddedPanels,
  {
    id: "memory",
    title: "Memory",
    icon: BookmarkIcon,
    place: "dialog",
    isOfUser: true,
    load: () => import("../memory/memory-panel").then((module) => module.MemoryPanel),
  },
  {
    id: "your-data",
    title: "Your data",
    icon: PersonIcon,
    place: "dialog",
    isOfUser: true,
    // It imports neither: what this file and a part that is loaded later both import would become files of their own.
    load: () => import("../your-data/your-data-panel").then((module) => module.yourDataPanel({ leaveThread, forgetThreads })),
  },
];

/** The panel beside the conversation. */
export const openPanel = signal<string | null>(null);

/** The panel over the page. */
export const openDialog = signal<string | null>(null);

export function togglePanel({ id, place }: Panel): void {
  const open = place === "dialog" ? openDialog : openPanel;
  open.value = open.value === id ? null : id;
}
