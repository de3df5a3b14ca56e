import { useEffect, useId, useState } from "preact/hooks";
import { giveToken, listConnections } from "../api/connections";
import { Problem } from "../session/types";
import { Button } from "../ui/button";
import { CheckIcon } from "../ui/icons";
import type { BodyProps } from "./question-card";

/** A call needs the user's own login: by a page of the server, or by a token that the user gives. */
export function ConnectionBody(props: BodyProps) {
  const metadata = (props.question.interrupt.metadata ?? {}) as { server?: string; url?: string };
  const server = metadata.server ?? "the server";
  return webAddress(metadata.url) ? (
    <LoginBody {...props} server={server} url={metadata.url!} />
  ) : (
    <TokenBody {...props} server={server} />
  );
}

type Props = BodyProps & { server: string };

function LoginBody({ store, question, isOnly, server, url }: Props & { url: string }) {
  const id = question.interrupt.id;
  const isConnected = useConnected(server);
  return (
    <>
      {isConnected && (
        <p class="question-decided" role="status">
          <CheckIcon size={16} /> You are connected to {server}.
        </p>
      )}
      <div class="question-actions">
        {!isConnected && (
          <a class="button primary" href={url} target="_blank" rel="noopener">
            Log in at {server}
          </a>
        )}
        <Button kind={isConnected ? "primary" : "plain"} busy={isOnly && store.isSending.value} onClick={() => void store.decide(id, "approve")}>
          {isConnected ? "Continue" : "I am back"}
        </Button>
        <Decline {...{ store, question, isOnly }} />
      </div>
    </>
  );
}

function TokenBody({ store, question, isOnly, server }: Props) {
  const id = question.interrupt.id;
  const field = useId();
  const [token, setToken] = useState("");
  const [isBusy, setBusy] = useState(false);
  const [complaint, setComplaint] = useState<string | null>(null);
  const connect = async () => {
    if (!token.trim()) return setComplaint("Paste the token first.");
    setBusy(true);
    try {
      await giveToken(server, token.trim());
      setToken("");
      setComplaint(null);
      await store.decide(id, "approve");
    } catch (error) {
      setComplaint(error instanceof Problem ? error.message : "The token could not be sent. Try again.");
    } finally {
      setBusy(false);
    }
  };
  return (
    <form
      class="question-form"
      onSubmit={(event) => {
        event.preventDefault();
        void connect();
      }}
    >
      <div class={`entry ${complaint ? "invalid" : ""}`}>
        <label class="entry-label" for={field}>
          Your token for {server}
        </label>
        <input
          id={field}
          class="entry-input"
          type="password"
          autocomplete="off"
          value={token}
          aria-invalid={complaint !== null}
          aria-describedby={`${field}-about`}
          onInput={(event) => {
            setToken(event.currentTarget.value);
            setComplaint(null);
          }}
        />
        <p class="entry-about" id={`${field}-about`}>
          It is stored encrypted, sent to this server only, and never shown again.
        </p>
        {complaint && (
          <p class="entry-complaint" role="alert">
            {complaint}
          </p>
        )}
      </div>
      <div class="question-actions">
        <Button type="submit" kind="primary" busy={isBusy || (isOnly && store.isSending.value)}>
          Connect
        </Button>
        <Decline {...{ store, question, isOnly }} />
      </div>
    </form>
  );
}

function Decline({ store, question, isOnly }: Pick<BodyProps, "store" | "question" | "isOnly">) {
  return (
    <Button kind="quiet" disabled={isOnly && store.isSending.value} onClick={() => void store.decide(question.interrupt.id, "decline")}>
      Do not connect
    </Button>
  );
}

/** Whether the user is connected: asked each time that the page comes back to the front. */
function useConnected(server: string): boolean {
  const [isConnected, setConnected] = useState(false);
  useEffect(() => {
    const look = async () => {
      if (document.visibilityState !== "visible") return;
      const connections = await listConnections().catch(() => []);
      setConnected(connections.some((one) => one.server === server && one.state === "connected"));
    };
    document.addEventListener("visibilitychange", look);
    window.addEventListener("focus", look);
    return () => {
      document.removeEventListener("visibilitychange", look);
      window.removeEventListener("focus", look);
    };
  }, [server]);
  return isConnected;
}

/** Only addresses of the web are opened. */
function webAddress(url: unknown): boolean {
  return typeof url === "string" && /^https?:\/\//i.test(url);
}
