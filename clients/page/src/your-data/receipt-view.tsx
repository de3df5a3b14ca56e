import "../ui/data-table.css";
import { useLayoutEffect, useRef } from "preact/hooks";
import type { Erasure, StoreReceipt } from "../api/user-data";
import { openDialog } from "../layout/panels";
import { Button } from "../ui/button";
import { CheckIcon } from "../ui/icons";
import { saveFile } from "../ui/save-file";
import { clock, count } from "../usage/format";
import type { Erasing } from "./erasing";
import { sorted, storeWords } from "./receipt-lines";

/** What became of every store, while it is under way and afterwards. */
export function ReceiptView({ erasing }: { erasing: Erasing }) {
  const receipt = erasing.receipt.value!;
  const { found, empty } = sorted(receipt.stores);
  const isOver = receipt.state === "erased";
  const root = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => root.current!.focus(), []);
  return (
    <div ref={root} class="your-data" tabIndex={-1}>
      <State receipt={receipt} erasing={erasing} />
      {found.length > 0 && <Stores stores={found} />}
      {isOver && empty.length > 0 && (
        <details>
          <summary>{count(empty.length)} stores had nothing of you, or were not touched</summary>
          <ul>
            {empty.map(({ store, note }) => (
              <li key={store}>
                {storeWords(store)}
                {note && `: ${note}`}
              </li>
            ))}
          </ul>
        </details>
      )}
      <p>Backups, and what tools have sent to others, are not reached from here. Receipt {receipt.erasureId}</p>
      <div class="dialog-buttons">
        {isOver && (
          <Button onClick={() => saveFile(new Blob([JSON.stringify(receipt, null, 2)]), `agentroute-receipt-${receipt.erasureId}.json`)}>
            Save the receipt
          </Button>
        )}
        <Button kind="primary" onClick={() => (openDialog.value = null)}>
          {isOver ? "Done" : "Close"}
        </Button>
      </div>
    </div>
  );
}

function State({ receipt, erasing }: { receipt: Erasure; erasing: Erasing }) {
  if (receipt.state === "erased") {
    return (
      <p class="erase-state" role="status">
        <CheckIcon />
        <span>
          <strong>Everything about you is deleted.</strong> {receipt.finishedAt && clock(receipt.finishedAt)}
        </span>
      </p>
    );
  }
  return (
    <p class="erase-state" role="status">
      <span class="spinner" aria-hidden="true" />
      <span>
        <strong>Your data is being deleted.</strong> It goes on by itself, also when you close this page.
        {receipt.waitsFor && ` It waits for ${receipt.waitsFor}.`}
        {erasing.problem.value && ` How far it is cannot be seen now: ${erasing.problem.value.message}`}
      </span>
    </p>
  );
}

function Stores({ stores }: { stores: readonly StoreReceipt[] }) {
  return (
    <div class="table-scroll" tabIndex={0} role="region" aria-label="What became of your data">
      <table class="data-table">
        <thead>
          <tr>
            <th scope="col">What</th>
            <th scope="col" class="number">
              Deleted
            </th>
            <th scope="col" class="number">
              Kept
            </th>
          </tr>
        </thead>
        <tbody>
          {stores.map(({ store, removed, kept, note }) => (
            <tr key={store}>
              <th scope="row">
                {storeWords(store)}
                {note && <small>{note}</small>}
              </th>
              <td class="number">{count(removed)}</td>
              <td class="number">{count(kept)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
