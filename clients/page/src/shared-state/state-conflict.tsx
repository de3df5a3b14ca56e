import { Button } from "../ui/button";
import { AlertIcon } from "../ui/icons";
import { differences, inShort, removeAt, setAt } from "./paths";
import type { SharedStore } from "./shared-store";

const SHOWN = 12;

/** The assistant was faster than the user's edit: what differs, and whose word counts. */
export function StateConflict({ store }: { store: SharedStore }) {
  const { agent, conflict, draft } = store.shared.value;
  if (!conflict) return null;
  const now = draft ? draft.value : agent;
  const found = differences(now, conflict.value);
  return (
    <section class="state-conflict" aria-label="Your change and the assistant's">
      <h3>
        <AlertIcon size={16} /> The assistant changed the state before your edit was sent
      </h3>
      <p>The assistant's state is shown. Your edit is kept here until you decide.</p>
      <table>
        <thead>
          <tr>
            <th scope="col">Where</th>
            <th scope="col">Now</th>
            <th scope="col">Yours</th>
            <td />
          </tr>
        </thead>
        <tbody>
          {found.slice(0, SHOWN).map((one) => (
            <tr key={one.pointer}>
              <th scope="row">{one.pointer || "all"}</th>
              <td>{inShort(one.before)}</td>
              <td>{inShort(one.after)}</td>
              <td>
                <Button
                  kind="quiet"
                  aria-label={`Use mine at ${one.pointer || "all"}`}
                  onClick={() => store.edit(one.after === undefined ? removeAt(now, one.path) : setPlace(now, one.path, one.after))}
                >
                  Use
                </Button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {found.length > SHOWN && <p>And {found.length - SHOWN} more places.</p>}
      <div class="question-actions">
        <Button onClick={() => store.settle(conflict.value)}>Use all of mine</Button>
        <Button kind="quiet" onClick={() => store.settle()}>
          Drop mine
        </Button>
      </div>
    </section>
  );
}

/** Like `setAt`, also behind the end of a list that has become shorter. */
function setPlace(value: unknown, path: readonly (string | number)[], next: unknown): unknown {
  const last = path.at(-1);
  const holder = path.slice(0, -1).reduce<unknown>((inner, key) => (inner as Record<string | number, unknown> | null)?.[key], value);
  if (Array.isArray(holder) && typeof last === "number" && last >= holder.length) {
    return setAt(value, path.slice(0, -1), [...holder, next]);
  }
  return setAt(value, path, next);
}
