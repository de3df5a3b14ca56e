import { useEffect, useState } from "preact/hooks";
import { forgetModel, type ModelInUse } from "../api/embedded";
import { Button } from "../ui/button";
import { toastError } from "../ui/toast";
import { loadModel, model } from "./embedded-mode";
import { ModelForm } from "./model-form";
import { placeOf } from "./place";
import "./setup.css";

/** The panel to which a user comes back: which model is used, another one, or the demo again. */
export function ModelSettings() {
  const [isDone, setDone] = useState(false);
  const [isBusy, setBusy] = useState(false);
  useEffect(() => {
    // A server may have been started since the page was opened.
    void loadModel().catch(() => {});
  }, []);
  const used = model.value;
  if (used === null) return <p class="setup-note">The service does not say which model it uses.</p>;
  const forget = async () => {
    setBusy(true);
    try {
      model.value = await forgetModel();
      setDone(false);
    } catch (error) {
      toastError(error);
    }
    setBusy(false);
  };
  return (
    <div class="setup">
      <ModelNow used={used} />
      {isDone && <Chosen used={used} />}
      {used.variables.length > 0 ? (
        <ModelFixed variables={used.variables} />
      ) : (
        <>
          <h3>{used.source === "demo" ? "Use a real model" : "Use another model"}</h3>
          <ModelForm
            key={`${used.source} ${used.baseUrl} ${used.name}`}
            onDone={(chosen) => {
              model.value = chosen;
              setDone(true);
            }}
          />
          <p class="setup-note">
            The key stays on this machine: encrypted, in the data folder of the service, for your user only. It is sent to
            this address and nowhere else.
          </p>
          {used.source === "chosen" && (
            <Button kind="quiet" busy={isBusy} onClick={forget}>
              Use the demo again and forget the key
            </Button>
          )}
        </>
      )}
    </div>
  );
}

function ModelNow({ used }: { used: ModelInUse }) {
  return (
    <dl class="model-now">
      <dt>Model</dt>
      <dd>{used.source === "demo" ? "Scripted demo, not an AI" : used.name}</dd>
      {used.baseUrl && (
        <>
          <dt>Address</dt>
          <dd>{used.baseUrl}</dd>
          <dt>Key</dt>
          <dd>{used.hasKey ? "Kept" : "None"}</dd>
        </>
      )}
    </dl>
  );
}

/** Why no model can be chosen here. */
export function ModelFixed({ variables }: { variables: readonly string[] }) {
  const [are, come, them] = variables.length > 1 ? ["are", "come", "them"] : ["is", "comes", "it"];
  return (
    <p class="setup-note">
      {variables.join(" and ")} {are} set where the service was started, and {come} first. Remove {them} and start again to
      choose a model here.
    </p>
  );
}

/** Said after a choice, wherever it was made. */
export function Chosen({ used }: { used: ModelInUse }) {
  return (
    <div class="model-chosen" role="status">
      <strong>{used.name} answers.</strong> New messages go to {used.baseUrl ? placeOf(used.baseUrl) : "it"}; a run that is
      under way ends with the model before.
      {used.note && <p>{used.note}</p>}
    </div>
  );
}
