import type { ComponentType } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { ThreadSession } from "../session/types";
import { IconButton, Spinner } from "../ui/button";
import { Dialog } from "../ui/dialog";
import { CloseIcon } from "../ui/icons";
import { toastError } from "../ui/toast";
import { openDialog, openPanel, panels, type Panel } from "./panels";
import { isWide } from "./sidebar-state";

/** The place beside the conversation; a drawer where there is no room. */
export function SidePanel({ session }: { session: ThreadSession }) {
  const panel = panels.find(({ id }) => id === openPanel.value);
  const element = useRef<HTMLElement>(null);
  const id = panel?.id;
  // Before it is drawn: then, on a phone, what is behind it cannot have the focus any more.
  const before = useMemo(() => document.activeElement, [id]);
  useEffect(() => {
    if (id === undefined) return;
    // It covers the conversation: who goes on by key goes on in the panel.
    if (!isWide.peek()) element.current?.querySelector<HTMLElement>("header button")?.focus();
    return () => {
      const isLost = document.activeElement === document.body || element.current?.contains(document.activeElement);
      if (isLost !== false && before instanceof HTMLElement) before.focus();
    };
  }, [id]);
  if (panel === undefined) return null;
  const close = () => (openPanel.value = null);
  return (
    <aside
      ref={element}
      class="side-panel"
      aria-label={panel.title}
      onKeyDown={(event) => {
        if (event.key === "Escape") close();
      }}
    >
      <header>
        <h2>{panel.title}</h2>
        <IconButton icon={CloseIcon} label="Close the panel" onClick={close} />
      </header>
      <PanelContent key={panel.id} panel={panel} session={session} />
    </aside>
  );
}

/** The place over the page. */
export function PanelDialog({ session }: { session: ThreadSession }) {
  const panel = panels.find(({ id }) => id === openDialog.value);
  if (panel === undefined) return null;
  const close = () => (openDialog.value = null);
  return (
    <Dialog title={panel.title} class="panel-dialog" onClose={close}>
      <IconButton icon={CloseIcon} label="Close the panel" class="panel-dialog-close" onClick={close} />
      <PanelContent key={panel.id} panel={panel} session={session} />
    </Dialog>
  );
}

function PanelContent({ panel, session }: { panel: Panel; session: ThreadSession }) {
  const [loaded, setLoaded] = useState<{ Content: ComponentType<{ session: ThreadSession }> } | null>(null);
  useEffect(() => {
    panel.load().then((Content) => setLoaded({ Content }), toastError);
  }, [panel]);
  return <div class="panel-content">{loaded ? <loaded.Content session={session} /> : <Spinner label="Loading" />}</div>;
}
