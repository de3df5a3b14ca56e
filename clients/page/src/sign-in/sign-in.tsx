import { useState } from "preact/hooks";
import { signIn, signInWanted, token } from "../api/http";
import { Button } from "../ui/button";
import { Dialog } from "../ui/dialog";
import { loadAgents } from "../threads/agents";
import { refresh } from "../threads/thread-list";

/** Asks for a bearer token, where the service wants one. It is kept in this tab only. */
export function SignIn() {
  const [text, setText] = useState("");
  const wasRefused = token.value !== "";
  return (
    <Dialog title="Sign in" onClose={() => (signInWanted.value = false)}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (!text.trim()) return;
          signIn(text);
          void refresh();
          void loadAgents().catch(() => {});
        }}
      >
        <p>{wasRefused ? "The token was refused: it is not valid, or no longer." : "This service wants a token."} It is kept until this tab is closed.</p>
        <label class="sign-in-field">
          <span class="field-label">Bearer token</span>
          <input class="field" type="password" autocomplete="off" autofocus value={text} onInput={(event) => setText(event.currentTarget.value)} />
        </label>
        <div class="dialog-buttons">
          <Button kind="primary" type="submit" disabled={!text.trim()}>
            Sign in
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
