import { signal } from "@preact/signals";

const WIDE = matchMedia("(min-width: 821px)");

/** There is room for the sidebar beside the conversation; otherwise it is a drawer. */
export const isWide = signal(WIDE.matches);
WIDE.addEventListener("change", () => {
  isWide.value = WIDE.matches;
  isSidebarOpen.value = WIDE.matches;
});

export const isSidebarOpen = signal(WIDE.matches);

/** After a choice in the drawer, the conversation is what the user wants to see. */
export function closeDrawer(): void {
  if (!isWide.peek()) isSidebarOpen.value = false;
}
