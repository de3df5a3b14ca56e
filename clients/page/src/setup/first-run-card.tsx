import { useState } from "preact/hooks";
import { openPanel } from "../layout/panels";
import { Button } from "../ui/button";
import { foundServers, model } from "./embedded-mode";
import { ModelForm } from "./model-form";
import { Chosen, ModelFixed } from "./model-settings";
import "./setup.css";

/** Says that the demo is no AI, and takes a model in its place. */
export function FirstRunCard() {
  const [isOpen, setOpen] = useState(false);
  const used = model.value;
  if (used === null || openPanel.value === "model") return null;
  if (used.source === "chosen") {
    return (
      <section class="first-run setup" aria-label="Model">
        <Chosen used={used} />
      </section>
    );
  }
  const found = foundServers.value.map((server) => server.title).join(" and ");
  return (
    <section class={`first-run setup ${isOpen ? "is-open" : ""}`} aria-label="Model">
      <h2>The demo model is scripted</h2>
      <p>
        It shows tools, approvals and streaming, but it is not an AI. You can try everything with it, or use a real model now.
      </p>
      {used.variables.length > 0 ? (
        <ModelFixed variables={used.variables} />
      ) : isOpen ? (
        <ModelForm onDone={(chosen) => (model.value = chosen)} />
      ) : (
        <Button kind="primary" onClick={() => setOpen(true)}>
          {found ? `Use ${found} or another model` : "Use a real model"}
        </Button>
      )}
    </section>
  );
}
