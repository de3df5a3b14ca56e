import { useState } from "preact/hooks";
import { Button } from "../ui/button";
import { Dialog } from "../ui/dialog";
import { toastError } from "../ui/toast";
import { rename } from "./thread-list";

interface RenameDialogProps {
  threadId: string;
  title: string;
  onClose(): void;
}

export function RenameDialog({ threadId, title, onClose }: RenameDialogProps) {
  const [words, setWords] = useState(title);
  const [isBusy, setBusy] = useState(false);
  const save = async () => {
    setBusy(true);
    try {
      await rename(threadId, words.trim());
      onClose();
    } catch (error) {
      toastError(error);
      setBusy(false);
    }
  };
  return (
    <Dialog title="Rename the conversation" onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (words.trim()) void save();
        }}
      >
        <label>
          <span class="field-label">Title</span>
          <input class="field" value={words} maxLength={200} autofocus onInput={(event) => setWords(event.currentTarget.value)} />
        </label>
        <div class="dialog-buttons">
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" busy={isBusy} disabled={!words.trim()}>
            Save
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
