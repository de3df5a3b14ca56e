import { useState } from "preact/hooks";
import type { ThreadSession } from "../session/types";
import { Button } from "../ui/button";
import { plural } from "../usage/format";
import { isEmpty } from "./draft";
import { sharedOf } from "./shared-store";
import { StateConflict } from "./state-conflict";
import { StateText } from "./state-text";
import { StateTree } from "./state-tree";
import "../cards/questions.css";
import "../cards/schema-form.css";
import "./state-panel.css";

/** The state that the assistant and the user edit together. */
export function StatePanel({ session }: { session: ThreadSession }) {
  const store = sharedOf(session);
  const { draft, conflict, changed, holders } = store.shared.value;
  const [asText, setAsText] = useState(false);
  const value = session.state.value;
  const isNone = isEmpty(value) && isEmpty(session.agentState.value);
  return (
    <div class="state-panel">
      <p class="state-about">The assistant and you share this. What you change is sent with your next message.</p>
      {conflict && <StateConflict key={JSON.stringify(conflict.value)} store={store} />}
      {draft && (
        <div class="state-note" role="status">
          <span>Your change is sent with your next message.</span>
          <Button kind="quiet" onClick={() => store.takeBack()}>
            Take it back
          </Button>
        </div>
      )}
      {isNone && !asText ? (
        <div class="state-none">
          <p>This conversation has no shared state yet. The assistant can change it as soon as there is one.</p>
          <div class="question-actions">
            <Button onClick={() => store.edit({ list: [] })}>Start a list</Button>
            <Button kind="quiet" onClick={() => setAsText(true)}>
              Write JSON
            </Button>
          </div>
        </div>
      ) : (
        <>
          <div class="state-modes" role="group" aria-label="How the state is shown">
            <button type="button" aria-pressed={!asText} onClick={() => setAsText(false)}>
              Tree
            </button>
            <button type="button" aria-pressed={asText} onClick={() => setAsText(true)}>
              JSON
            </button>
          </div>
          {asText ? (
            <StateText value={value} onApply={(next) => store.edit(next)} />
          ) : (
            <StateTree value={value} changed={changed} holders={holders} onChange={(next) => store.edit(next)} />
          )}
        </>
      )}
      <p class="unseen" aria-live="polite">
        {changed.size > 0 ? `The assistant changed the shared state in ${plural(changed.size, "place")}.` : ""}
      </p>
    </div>
  );
}
