import { useEffect, useMemo } from "preact/hooks";
import { ErasePart } from "./erase-part";
import { Erasing } from "./erasing";
import { ExportPart } from "./export-part";
import { forgetBrowser } from "./forget-browser";
import { ReceiptView } from "./receipt-view";
import "./your-data.css";

/** What of the page has to do with threads. */
export interface Threads {
  /** Leave the open thread for an empty one; returns what goes back to it. */
  leaveThread(): () => void;
  forgetThreads(): void;
}

/** Everything of the user: to take along, or to delete. A chunk of its own. */
export function yourDataPanel(threads: Threads) {
  return () => <YourDataPanel threads={threads} />;
}

function YourDataPanel({ threads }: { threads: Threads }) {
  const erasing = useMemo(() => new Erasing(begun), []);
  useEffect(() => () => erasing.stop(), [erasing]);
  const erase = async () => {
    // Before: nothing of an open thread may begin anything while it goes, such as a tool of this page that answers.
    const goBack = threads.leaveThread();
    await erasing.ask();
    if (erasing.receipt.peek() === null) goBack();
  };
  function begun(): void {
    forgetBrowser([localStorage, sessionStorage]);
    threads.forgetThreads();
  }
  // However the receipt is closed: whatever is left in the memory of the page is of a user who is gone.
  useEffect(() => () => void (erasing.receipt.peek() && beginAnew()), [erasing]);
  if (erasing.receipt.value !== null) return <ReceiptView erasing={erasing} />;
  return (
    <div class="your-data">
      <ExportPart />
      <ErasePart erasing={erasing} onErase={() => void erase()} />
    </div>
  );
}

/** Load the page again, without a token and without a conversation. */
function beginAnew(): void {
  forgetBrowser([localStorage, sessionStorage]);
  location.replace(location.pathname);
}
