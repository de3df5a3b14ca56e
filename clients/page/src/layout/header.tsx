import type { ThreadSession } from "../session/types";
import { IconButton } from "../ui/button";
import { MoonIcon, MoreIcon, PlusIcon, SidebarIcon, SunIcon, SystemThemeIcon } from "../ui/icons";
import { Menu } from "../ui/menu";
import { newThread } from "../threads/current";
import { openPanel, panels, togglePanel } from "./panels";
import { ThreadMeter } from "../usage/thread-meter";
import { isSidebarOpen, isWide } from "./sidebar-state";
import { theme, type Theme } from "./theme";

const THEMES = [
  { id: "system", label: "As the device", icon: SystemThemeIcon },
  { id: "light", label: "Light", icon: SunIcon },
  { id: "dark", label: "Dark", icon: MoonIcon },
] as const satisfies readonly { id: Theme; label: string; icon: unknown }[];

export function Header({ session }: { session: ThreadSession }) {
  const themeIcon = THEMES.find(({ id }) => id === theme.value)!.icon;
  return (
    <header class="bar">
      {(!isSidebarOpen.value || !isWide.value) && (
        <>
          <IconButton icon={SidebarIcon} label="Show conversations" onClick={() => (isSidebarOpen.value = true)} />
          <IconButton icon={PlusIcon} label="New conversation" onClick={newThread} />
        </>
      )}
      <h1 class="bar-title">{session.title.value ?? "New conversation"}</h1>
      <ThreadMeter key={session.threadId} session={session} />
      <div class="bar-tools">
        <PanelButtons />
        <Menu
          label="Theme"
          icon={themeIcon}
          items={THEMES.map(({ id, label, icon }) => ({
            label,
            icon,
            checked: theme.value === id,
            onSelect: () => (theme.value = id),
          }))}
        />
      </div>
    </header>
  );
}

function PanelButtons() {
  const offered = panels.filter((panel) => !panel.isOfUser && (panel.isOffered?.() ?? true));
  if (!isWide.value) {
    // A row of buttons would leave no room for the title.
    const items = offered.map((panel) => ({ label: panel.title, icon: panel.icon, onSelect: () => togglePanel(panel) }));
    return <Menu label="Panels" icon={MoreIcon} items={items} />;
  }
  return (
    <>
      {offered.map((panel) => (
        <IconButton
          key={panel.id}
          icon={panel.icon}
          label={panel.title}
          {...(panel.place === "dialog"
            ? { "aria-haspopup": "dialog" as const }
            : { "aria-pressed": openPanel.value === panel.id })}
          onClick={() => togglePanel(panel)}
        />
      ))}
    </>
  );
}
