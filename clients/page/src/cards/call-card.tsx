import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { AlertIcon, CheckIcon, ChevronIcon, CloseIcon, type Icon, ToolIcon } from "../ui/icons";
import { layOut } from "./loose-json";
import { type ResultPart, resultParts, shorten } from "./result-text";
import { summarise } from "./summary";
import type { CallStatus, ToolCallView } from "./tool-calls";
import type { CallProgress } from "./activity";
import "./call-card.css";

const STATUS: Record<CallStatus, { words: string; icon: Icon | null }> = {
  writing: { words: "Preparing", icon: null },
  running: { words: "Running", icon: null },
  asking: { words: "Waits for you", icon: AlertIcon },
  pending: { words: "Waits for a window", icon: AlertIcon },
  done: { words: "Done", icon: CheckIcon },
  failed: { words: "Failed", icon: AlertIcon },
  declined: { words: "Declined", icon: CloseIcon },
  unanswered: { words: "No result", icon: null },
};

interface Props {
  call: ToolCallView;
  progress?: CallProgress | undefined;
  /** Shown under the line also while the card is folded. */
  children?: ComponentChildren;
}

export function CallCard({ call, progress, children }: Props) {
  const { words, icon: Drawing } = STATUS[call.status];
  const isBusy = call.status === "writing" || call.status === "running";
  return (
    <div class={`call ${call.status}`} data-call={call.id} data-status={call.status}>
      <details>
        <summary>
          <span class="call-icon">
            {isBusy ? <span class="spinner" aria-hidden="true" /> : Drawing ? <Drawing size={15} /> : <ToolIcon size={15} />}
          </span>
          <span class="call-name">{call.name}</span>
          <span class="call-summary">{summarise(call.arguments)}</span>
          <span class="call-status">{words}</span>
          <ChevronIcon size={14} class="call-chevron" />
        </summary>
        <div class="call-body">
          <Section title="Arguments">
            <pre class="call-text">{layOut(call.arguments) || "none"}</pre>
          </Section>
          {call.result && (
            <Section title={call.status === "failed" ? "Error" : "Result"}>
              <Result content={call.result.content} />
            </Section>
          )}
        </div>
      </details>
      {isBusy && progress && <Progress progress={progress} />}
      {children}
    </div>
  );
}

function Section({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <section>
      <p class="call-label">{title}</p>
      {children}
    </section>
  );
}

function Result({ content }: { content: NonNullable<ToolCallView["result"]>["content"] }) {
  const parts = resultParts(content);
  if (parts.length === 0) return <p class="call-none">The tool said nothing.</p>;
  return (
    <>
      {parts.map((part, place) => (
        <Part key={place} part={part} />
      ))}
    </>
  );
}

function Part({ part }: { part: ResultPart }) {
  switch (part.kind) {
    case "text":
    case "json":
      return <LongText text={part.text} />;
    case "image":
      return <img class="call-media" src={part.url} alt="Picture that the tool returned" />;
    case "audio":
      return <audio class="call-media" controls src={part.url} />;
    case "video":
      return <video class="call-media" controls src={part.url} />;
    case "document":
      return (
        <a href={part.url} target="_blank" rel="noopener">
          Open the file ({part.mimeType})
        </a>
      );
  }
}

function LongText({ text }: { text: string }) {
  const [all, setAll] = useState(false);
  const short = shorten(text);
  return (
    <>
      <pre class="call-text">{all ? text : short.text}</pre>
      {short.rest > 0 && (
        <button type="button" class="call-more" aria-expanded={all} onClick={() => setAll(!all)}>
          {all ? "Show less" : `Show all (${short.rest.toLocaleString("en")} more characters)`}
        </button>
      )}
    </>
  );
}

function Progress({ progress }: { progress: CallProgress }) {
  const { message, progress: done, total } = progress;
  return (
    <div class="call-progress">
      {done !== null && total !== null && <progress value={done} max={total} aria-label={message || "Progress"} />}
      <span>{message}</span>
    </div>
  );
}
