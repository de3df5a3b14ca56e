import { useMemo } from "preact/hooks";
import { IconButton } from "../ui/button";
import { CopyButton } from "../ui/copy-button";
import { CloseIcon } from "../ui/icons";
import { byteSize, clock, duration, facts } from "../usage/format";
import { curlOfEvents } from "./curl";
import { copyCommand, curlTarget } from "./curl-menu";
import { isOfLog } from "../session/cursors";
import type { EventRow } from "./event-rows";
import { TerminalIcon } from "./icons";
import { jsonPieces } from "./json-text";
import "./event-detail.css";

/** More text than this takes a browser long to lay out, and nobody reads it here. */
const LONGEST = 60_000;

interface EventDetailProps {
  threadId: string;
  row: EventRow;
  onClose(): void;
}

export function EventDetail({ threadId, row, onClose }: EventDetailProps) {
  const { cursor } = row;
  const pieces = useMemo(() => jsonPieces(row.event), [row.event]);
  let left = LONGEST;
  const shown = pieces.filter(([, text]) => (left -= text.length) > 0);
  return (
    <section class="event-detail" aria-label={`Event ${row.cursor ?? row.event.type}`}>
      <header>
        <div class="event-detail-head">
          <strong>{row.event.type}</strong>
          <span>
            {facts(
              row.cursor && `cursor ${row.cursor}`,
              byteSize(row.bytes),
              row.sinceStart !== null && `${duration(row.sinceStart)} after the run's start`,
              row.receivedAt !== null && `arrived ${clock(row.receivedAt)}`,
            )}
          </span>
        </div>
        <CopyButton text={() => JSON.stringify(row.event, null, 2)} label="Copy the event as JSON" />
        {isOfLog(cursor) && (
          <IconButton
            icon={TerminalIcon}
            label="Copy the events after this one as curl"
            small
            onClick={() => void copyCommand(curlOfEvents(curlTarget(), { threadId, cursor }))}
          />
        )}
        <IconButton icon={CloseIcon} label="Close the event" small onClick={onClose} />
      </header>
      <pre tabIndex={0} aria-label="JSON of the event">
        {shown.map(([kind, text], index) => (
          <span key={index} class={`json-${kind}`}>
            {text}
          </span>
        ))}
        {shown.length < pieces.length && <em>{"\n… The rest is in the copy."}</em>}
      </pre>
    </section>
  );
}
