import { useMemo, useState } from "preact/hooks";
import { readFile } from "../../api/files";
import { Dialog } from "../../ui/dialog";
import { Button } from "../../ui/button";
import { saveAddress, saveFile } from "../../ui/save-file";
import { KIND_ICONS, SoundIcon } from "../icons";
import { attachmentsOf } from "../composer/content";
import type { UserContent } from "../../session/types";
import { FilePicture, useFileAddress } from "./file-picture";
import { inWords } from "./media-type";
import { described, type Described } from "./parts";
import "./attachments.css";

/** The attachments of a message, as they are stored. */
export function MessageAttachments({ content }: { content: UserContent }) {
  const parts = attachmentsOf(content).map(described);
  if (parts.length === 0) return null;
  return (
    <ul class="message-attachments" aria-label="Attachments">
      {parts.map((part, place) => (
        <li key={place}>{part.kind === "image" ? <Picture part={part} /> : part.kind === "audio" ? <Sound part={part} /> : <Document part={part} />}</li>
      ))}
    </ul>
  );
}

function Picture({ part }: { part: Described }) {
  const [isLarge, setLarge] = useState(false);
  const [isMissing, setMissing] = useState(false);
  if (isMissing || (part.fileId === null && part.address === null)) return <Card part={part} note="No longer stored" />;
  const drawing = () =>
    part.fileId !== null ? (
      <FilePicture fileId={part.fileId} alt={part.name} onMissing={() => setMissing(true)} />
    ) : (
      <img src={part.address!} alt={part.name} />
    );
  return (
    <>
      <button type="button" class="picture-button" aria-label={`Show ${part.name} in full size`} onClick={() => setLarge(true)}>
        {drawing()}
      </button>
      {isLarge && (
        <Dialog title={part.name} class="picture-dialog" onClose={() => setLarge(false)}>
          {drawing()}
          <div class="dialog-buttons">
            <Button onClick={() => setLarge(false)}>Close</Button>
          </div>
        </Dialog>
      )}
    </>
  );
}

function Sound({ part }: { part: Described }) {
  const fetched = useFileAddress(part.fileId);
  const inline = useInlineSound(part);
  const address = part.fileId === null ? inline : fetched;
  const [isMissing, setMissing] = useState(false);
  if (isMissing || address === undefined) return <Card part={part} note="No longer stored" />;
  return (
    <figure class="sound">
      <figcaption>
        <SoundIcon size={16} /> {part.name}
      </figcaption>
      {address && <audio controls preload="metadata" src={address} aria-label={part.name} onError={() => setMissing(true)} />}
    </figure>
  );
}

/** Sound elements get blobs only: the page's policy forbids them `data:` addresses. */
function useInlineSound({ address, mediaType }: Described): string | undefined {
  return useMemo(() => {
    if (address === null) return undefined;
    try {
      const bytes = Uint8Array.from(atob(address.slice(address.indexOf(",") + 1)), (letter) => letter.charCodeAt(0));
      return URL.createObjectURL(new Blob([bytes], { type: mediaType }));
    } catch {
      return undefined;
    }
  }, [address]);
}

function Document({ part }: { part: Described }) {
  const [isMissing, setMissing] = useState(false);
  const open = async () => {
    try {
      await save(part);
    } catch {
      setMissing(true);
    }
  };
  return isMissing ? <Card part={part} note="No longer stored" /> : <Card part={part} note={noteOf(part)} onOpen={open} />;
}

function noteOf({ mediaType, bytes }: Described): string {
  const type = mediaType.split("/").at(-1)?.replace(/^x-/, "").toUpperCase() ?? "";
  return bytes > 0 ? `${type} · ${inWords(bytes)}` : type || "File";
}

function Card({ part, note, onOpen }: { part: Described; note: string; onOpen?: () => void }) {
  const Drawing = KIND_ICONS[part.kind];
  const inside = (
    <>
      <Drawing size={20} />
      <span class="attachment-words">
        <span class="attachment-name" title={part.name}>
          {onOpen && <span class="unseen">Save </span>}
          {part.name}
        </span>
        <span class="attachment-state">{note}</span>
      </span>
    </>
  );
  if (!onOpen) return <span class="document-card">{inside}</span>;
  return (
    <button type="button" class="document-card" onClick={onOpen}>
      {inside}
    </button>
  );
}

async function save({ fileId, address, name }: Described): Promise<void> {
  if (fileId === null) saveAddress(address!, name);
  else saveFile(await readFile(fileId), name);
}
