import { useEffect, useRef, useState } from "preact/hooks";
import { panels, togglePanel } from "../layout/panels";
import { closeDrawer, isSidebarOpen, isWide } from "../layout/sidebar-state";
import { Button, IconButton, Spinner } from "../ui/button";
import { CloseIcon, LogoMark, PlusIcon, SearchIcon, SidebarIcon } from "../ui/icons";
import { toastError } from "../ui/toast";
import { AgentChoice } from "./agent-choice";
import { newThread } from "./current";
import { ThreadEntry } from "./thread-entry";
import { failure, isLoading, loadMore, nextBefore, query, refresh, search, threads } from "./thread-list";
import "./threads.css";

const TYPING_MILLISECONDS = 250;

/** The user's threads, newest first. */
export function Sidebar() {
  const element = useRef<HTMLElement>(null);
  useEffect(() => {
    if (!isWide.peek()) element.current?.querySelector<HTMLElement>("button, input")?.focus();
  }, []);
  return (
    <nav
      class="sidebar"
      ref={element}
      aria-label="Conversations"
      onKeyDown={(event) => {
        if (event.key === "Escape") closeDrawer();
      }}
    >
      <header>
        <LogoMark size={24} />
        <strong>AgentRoute</strong>
        <IconButton icon={isWide.value ? SidebarIcon : CloseIcon} label="Hide conversations" onClick={() => (isSidebarOpen.value = false)} />
      </header>
      <div class="sidebar-tools">
        <Button icon={PlusIcon} onClick={newThread}>
          New conversation
        </Button>
        <AgentChoice />
        <SearchField />
      </div>
      <ThreadEntries />
      <div class="sidebar-foot">
        {panels
          .filter(({ isOfUser }) => isOfUser)
          .map((panel) => (
            <Button key={panel.id} kind="quiet" icon={panel.icon} aria-haspopup="dialog" onClick={() => togglePanel(panel)}>
              {panel.title}
            </Button>
          ))}
      </div>
    </nav>
  );
}

function SearchField() {
  const [words, setWords] = useState(query.peek());
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  return (
    <label class="search">
      <SearchIcon size={16} />
      <span class="unseen">Search conversations</span>
      <input
        type="search"
        placeholder="Search"
        value={words}
        maxLength={200}
        onInput={(event) => {
          const typed = event.currentTarget.value;
          setWords(typed);
          clearTimeout(timer.current);
          timer.current = setTimeout(() => void search(typed.trim()), TYPING_MILLISECONDS);
        }}
      />
    </label>
  );
}

function ThreadEntries() {
  if (isLoading.value) {
    return (
      <div class="sidebar-note">
        <Spinner label="Loading conversations" />
      </div>
    );
  }
  if (failure.value !== null) {
    return (
      <div class="sidebar-note" role="alert">
        <p>{failure.value}</p>
        <Button onClick={() => void refresh()}>Try again</Button>
      </div>
    );
  }
  if (threads.value.length === 0) {
    return <p class="sidebar-note">{query.value ? `Nothing found for “${query.value}”.` : "Your conversations will be here."}</p>;
  }
  return (
    <div class="thread-scroll">
      <ul class="thread-list">
        {threads.value.map((item) => (
          <ThreadEntry key={item.threadId} item={item} />
        ))}
      </ul>
      {nextBefore.value !== null && <MoreThreads />}
    </div>
  );
}

/** Loads the next page when it comes into view; a button for those who do not scroll. */
function MoreThreads() {
  const element = useRef<HTMLDivElement>(null);
  const [isBusy, setBusy] = useState(false);
  const more = async () => {
    setBusy(true);
    await loadMore().catch(toastError);
    setBusy(false);
  };
  useEffect(() => {
    const view = new IntersectionObserver((seen) => seen.some((entry) => entry.isIntersecting) && void more());
    view.observe(element.current!);
    return () => view.disconnect();
    // Anew for each page: an observer says nothing when its element stays in view.
  }, [threads.value, nextBefore.value]);
  return (
    <div class="sidebar-note" ref={element}>
      <Button kind="quiet" busy={isBusy} onClick={more}>
        Load more
      </Button>
    </div>
  );
}
