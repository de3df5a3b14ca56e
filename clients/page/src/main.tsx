import { render } from "preact";

render(<p>AgentRoute</p>, document.getElementById("app")!);
