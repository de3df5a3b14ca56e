import { useId, useRef, useState } from "preact/hooks";
import { chooseModel, type LocalModelServer, type ModelInUse } from "../api/embedded";
import { Button } from "../ui/button";
import { foundServers, model } from "./embedded-mode";
import { useEndpointModels } from "./endpoint-models";
import { refusalOf, type Refusal } from "./refusal-words";

const MAX_OFFERED = 12;

/** Address, key and name of a model; checked by the service before it takes them. */
export function ModelForm({ onDone }: { onDone(used: ModelInUse): void }) {
  const used = model.value;
  const kept = used?.source === "chosen" ? used : null;
  const [baseUrl, setBaseUrl] = useState(kept?.baseUrl ?? "");
  const [apiKey, setApiKey] = useState("");
  const [name, setName] = useState(kept?.name ?? "");
  const [refusal, setRefusal] = useState<Refusal | null>(null);
  const [isBusy, setBusy] = useState(false);
  const offered = useEndpointModels();
  const form = useRef<HTMLFormElement>(null);
  const ids = { url: useId(), key: useId(), name: useId(), list: useId(), problem: useId() };
  const keepsKey = kept?.hasKey === true && baseUrl.trim() === kept.baseUrl;
  const key = apiKey.trim() || (keepsKey ? null : "");

  const take = (server: LocalModelServer) => {
    setBaseUrl(server.baseUrl);
    setApiKey("");
    setName(server.models[0] ?? "");
    setRefusal(null);
    offered.set(server.models);
  };
  const submit = async () => {
    setBusy(true);
    setRefusal(null);
    try {
      onDone(await chooseModel({ baseUrl: baseUrl.trim(), apiKey: key, name: name.trim() }));
    } catch (error) {
      const told = refusalOf(error);
      setRefusal(told);
      setBusy(false);
      if (told.models.length > 0) offered.set(told.models);
      if (told.field) form.current?.querySelector<HTMLInputElement>(`[name="${told.field}"]`)?.focus();
    }
  };
  const shown = refusal ?? offered.refusal;
  const wrong = (field: Refusal["field"]) =>
    shown?.field === field ? { "aria-invalid": true, "aria-describedby": ids.problem } : {};
  return (
    <form
      ref={form}
      class="model-form"
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      {foundServers.value.length > 0 && (
        <div class="model-found" role="group" aria-label="Found on this machine">
          <span class="field-label">Found on this machine</span>
          {foundServers.value.map((server) => (
            <Button key={server.baseUrl} onClick={() => take(server)} aria-pressed={baseUrl === server.baseUrl}>
              {server.title}
              <small>{server.models.length === 1 ? server.models[0] : `${server.models.length} models`}</small>
            </Button>
          ))}
        </div>
      )}
      <label class="field-label" for={ids.url}>
        Address of an OpenAI-compatible API
      </label>
      <input
        class="field"
        id={ids.url}
        name="baseUrl"
        type="url"
        inputMode="url"
        autocomplete="off"
        spellcheck={false}
        required
        placeholder="https://api.example.com/v1"
        value={baseUrl}
        onInput={(event) => setBaseUrl(event.currentTarget.value)}
        onBlur={() => void offered.ask(baseUrl, key)}
        {...wrong("baseUrl")}
      />
      <label class="field-label" for={ids.key}>
        Key
      </label>
      <input
        class="field"
        id={ids.key}
        name="apiKey"
        type="password"
        autocomplete="off"
        spellcheck={false}
        placeholder={keepsKey ? "The kept key is used" : "None, if it needs none"}
        value={apiKey}
        onInput={(event) => setApiKey(event.currentTarget.value)}
        onBlur={() => void offered.ask(baseUrl, key)}
        {...wrong("apiKey")}
      />
      <label class="field-label" for={ids.name}>
        Name of the model
      </label>
      <input
        class="field"
        id={ids.name}
        name="name"
        autocomplete="off"
        spellcheck={false}
        required
        list={ids.list}
        placeholder={offered.isAsking ? "Asking for its models…" : "As the provider calls it"}
        value={name}
        onInput={(event) => setName(event.currentTarget.value)}
        {...wrong("name")}
      />
      <datalist id={ids.list}>
        {offered.names.map((each) => (
          <option key={each} value={each} />
        ))}
      </datalist>
      {offered.names.length > 0 && (
        <div class="model-names" role="group" aria-label="Models there">
          {offered.names.slice(0, MAX_OFFERED).map((each) => (
            <button key={each} type="button" aria-pressed={each === name} onClick={() => setName(each)}>
              {each}
            </button>
          ))}
          {offered.names.length > MAX_OFFERED && <span>and {offered.names.length - MAX_OFFERED} more; type to find one</span>}
        </div>
      )}
      <div id={ids.problem} role="alert">
        {shown && (
          <div class="model-problem">
            <p>{shown.text}</p>
            {shown.said && <code>{shown.said}</code>}
          </div>
        )}
      </div>
      <div class="model-buttons">
        <Button kind="primary" type="submit" busy={isBusy}>
          {isBusy ? "Asking the model…" : "Check and use"}
        </Button>
        {isBusy && <p role="status">A model of this machine may have to be loaded first.</p>}
      </div>
    </form>
  );
}
