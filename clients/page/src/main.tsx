import "./session/storage-stand-in";
import { render } from "preact";
import "./styles/tokens.css";
import "./styles/base.css";
import { App } from "./layout/app";
import { loadModel } from "./setup/embedded-mode";
import { loadAgents } from "./threads/agents";
import { refresh } from "./threads/thread-list";

render(<App />, document.getElementById("app")!);
// The list says it itself when it cannot be read.
void refresh();
void loadAgents().catch(() => {});
// Without an answer there is nothing to set up here.
void loadModel().catch(() => {});
