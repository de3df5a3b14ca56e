import { Button, IconButton } from "../../ui/button";
import { CloseIcon } from "../../ui/icons";
import { KIND_ICONS, RetryIcon } from "../icons";
import { FilePicture } from "./file-picture";
import { stateInWords, type Attachment, type AttachmentTray } from "./tray";
import "./attachments.css";

/** The attachments of the message that is being written. */
export function AttachmentStrip({ tray, onText }: { tray: AttachmentTray; onText?: (text: string) => void }) {
  const items = tray.items.value;
  if (items.length === 0) return null;
  return (
    <ul class="attachment-strip" aria-label="Attachments">
      {items.map((item) => (
        <Chip key={item.id} item={item} tray={tray} onText={onText} />
      ))}
    </ul>
  );
}

interface ChipProps {
  item: Attachment;
  tray: AttachmentTray;
  onText: ((text: string) => void) | undefined;
}

function Chip({ item, tray, onText }: ChipProps) {
  const Drawing = KIND_ICONS[item.kind];
  const words = stateInWords(item);
  return (
    <li class={`attachment-chip ${item.status}`}>
      <span class="attachment-thumb">
        {item.picture ? (
          <img src={item.picture} alt="" />
        ) : item.kind === "image" && item.stored ? (
          <FilePicture fileId={item.stored.fileId} alt="" />
        ) : (
          <Drawing size={20} />
        )}
      </span>
      <span class="attachment-words">
        <span class="attachment-name" title={item.name}>
          {item.name}
        </span>
        <span class="attachment-state" role={item.status === "failed" ? "alert" : undefined}>
          {words}
        </span>
        {item.status === "uploading" && <progress max={1} value={item.share} aria-label={`Upload of ${item.name}`} />}
      </span>
      {item.canWriteDown && item.status === "failed" && onText && (
        <Button
          class="attachment-write"
          onClick={async () => {
            const text = await tray.writeDown(item.id);
            if (text) onText(text);
          }}
        >
          Write it down
        </Button>
      )}
      {item.canRetry && item.status === "failed" && (
        <IconButton icon={RetryIcon} label={`Try ${item.name} again`} small onClick={() => tray.retry(item.id)} />
      )}
      <IconButton
        icon={CloseIcon}
        label={item.status === "uploading" ? `Cancel the upload of ${item.name}` : `Remove ${item.name}`}
        small
        onClick={() => tray.remove(item.id)}
      />
    </li>
  );
}
