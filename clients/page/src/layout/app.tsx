import { signInWanted } from "../api/http";
import { ChatView } from "../chat/chat-view";
import { SignIn } from "../sign-in/sign-in";
import { currentSession } from "../threads/current";
import { Sidebar } from "../threads/sidebar";
import { Toasts } from "../ui/toast";
import { Header } from "./header";
import { openPanel } from "./panels";
import { PanelDialog, SidePanel } from "./side-panel";
import { isSidebarOpen, isWide } from "./sidebar-state";
import "./layout.css";

export function App() {
  const session = currentSession.value;
  const isDrawer = !isWide.value && isSidebarOpen.value;
  return (
    <div class={`app ${isSidebarOpen.value ? "with-sidebar" : ""} ${openPanel.value ? "with-panel" : ""}`}>
      {isSidebarOpen.value && <Sidebar />}
      {isDrawer && <div class="scrim" onClick={() => (isSidebarOpen.value = false)} />}
      <main class="main" inert={isDrawer || (openPanel.value !== null && !isWide.value)}>
        <Header session={session} />
        <ChatView session={session} />
      </main>
      <SidePanel session={session} />
      <PanelDialog session={session} />
      {signInWanted.value && <SignIn />}
      <Toasts />
    </div>
  );
}
