import { useState } from "preact/hooks";
import { Button } from "../ui/button";
import { Dialog } from "../ui/dialog";
import { toastError } from "../ui/toast";
import { currentSession, newThread } from "./current";
import { remove } from "./thread-list";

interface DeleteDialogProps {
  threadId: string;
  title: string;
  onClose(): void;
}

export function DeleteDialog({ threadId, title, onClose }: DeleteDialogProps) {
  const [isBusy, setBusy] = useState(false);
  const confirm = async () => {
    setBusy(true);
    // Before: a stream that is open would say that its thread is gone.
    if (currentSession.peek().threadId === threadId) newThread();
    try {
      await remove(threadId);
      onClose();
    } catch (error) {
      toastError(error);
      setBusy(false);
    }
  };
  return (
    <Dialog title="Delete the conversation?" onClose={onClose}>
      <p>“{title}” is deleted with all its messages. This cannot be undone.</p>
      <div class="dialog-buttons">
        <Button autofocus onClick={onClose}>
          Cancel
        </Button>
        <Button kind="danger" busy={isBusy} onClick={confirm}>
          Delete
        </Button>
      </div>
    </Dialog>
  );
}
