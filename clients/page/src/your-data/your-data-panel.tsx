import { useEffect } from "preact/hooks";
import { openDialog } from "../layout/panels";
import { isOnline } from "../session/online";
import { toastError } from "../ui/toast";
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

const ID = "your-data";
/** Of the page and not of the panel: what was asked for goes on when the panel is closed. */
let erasing: Erasing | null = null;

/** Everything of the user: to take along, or to delete. A chunk of its own. */
export function yourDataPanel(threads: Threads) {
  const begun = () => {
    forgetBrowser([localStorage, sessionStorage]);
    threads.forgetThreads();
    // The receipt is shown, also if the panel was closed before the answer came.
    openDialog.value = ID;
  };
  const shared = (erasing ??= new Erasing(begun));
  const erase = async () => {
    // Before: nothing of an open thread may begin anything while it goes, such as a tool of this page that answers.
    const goBack = threads.leaveThread();
    await shared.ask();
    if (shared.receipt.peek() !== null) return;
    goBack();
    if (openDialog.peek() !== ID) toastError(shared.problem.peek());
  };
  return () => <YourDataPanel erasing={shared} onErase={() => void erase()} />;
}

function YourDataPanel({ erasing, onErase }: { erasing: Erasing; onErase(): void }) {
  // However the receipt is closed: whatever is left in the memory of the page is of a user who is gone.
  useEffect(() => () => void (erasing.receipt.peek() && beginAnew()), [erasing]);
  if (erasing.receipt.value !== null) return <ReceiptView erasing={erasing} />;
  return (
    <div class="your-data">
      {!isOnline.value && <p role="status">You are offline. Your data can be exported and deleted when the network is back.</p>}
      <ExportPart />
      <ErasePart erasing={erasing} onErase={onErase} />
    </div>
  );
}

/** Load the page again, without a token and without a conversation. */
function beginAnew(): void {
  forgetBrowser([localStorage, sessionStorage]);
  location.replace(location.pathname);
}
