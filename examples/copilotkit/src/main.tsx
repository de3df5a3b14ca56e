import { CopilotChat, CopilotKitProvider } from "@copilotkit/react-core/v2";
import "@copilotkit/react-core/v2/styles.css";
import type { ConnectionState } from "@agentroute/client";
import { useMemo, useState } from "react";
import { createRoot } from "react-dom/client";
import { agents, threadOfAddress } from "./agent";
import { Approvals } from "./approvals";
import { ThemeTool } from "./theme-tool";
import "./main.css";

const threadId = threadOfAddress();

function App() {
  const [state, setState] = useState<ConnectionState>("live");
  const own = useMemo(() => agents(threadId, setState), []);
  return (
    <CopilotKitProvider selfManagedAgents={own} enableInspector={false}>
      <ThemeTool />
      <Approvals />
      {(state === "reconnecting" || state === "offline") && <p role="status">Connection lost. The answer goes on …</p>}
      <CopilotChat agentId="default" threadId={threadId} />
    </CopilotKitProvider>
  );
}

createRoot(document.getElementById("root")!).render(<App />);
