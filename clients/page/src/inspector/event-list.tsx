import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { byteSize, duration } from "../usage/format";
import { type EventRow, summary } from "./event-rows";
import { isAtEnd, scrollToShow, windowRange } from "./window-range";
import "./event-list.css";

const ROW_PIXELS = 28;

interface EventListProps {
  rows: readonly EventRow[];
  opened: string | null;
  onOpen(key: string): void;
}

/** A list of any length: only the rows in view are elements. Arrow keys move, Enter opens. */
export function EventList({ rows, opened, onOpen }: EventListProps) {
  const view = useRef<HTMLDivElement>(null);
  const scrollTop = useSignal(0);
  const viewHeight = useSignal(400);
  const active = useSignal<string | null>(null);
  const follows = useRef(true);
  const range = windowRange(rows.length, ROW_PIXELS, scrollTop.value, viewHeight.value);
  const label = useComputed(() => `event-${active.value}`);

  useEffect(() => {
    const element = view.current!;
    const observer = new ResizeObserver(() => (viewHeight.value = element.clientHeight));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  useLayoutEffect(() => {
    const element = view.current!;
    if (follows.current) element.scrollTop = element.scrollHeight;
  }, [rows, viewHeight.value]);

  const move = (to: number) => {
    const row = rows[Math.max(0, Math.min(to, rows.length - 1))];
    if (row === undefined || view.current === null) return;
    active.value = row.key;
    view.current.scrollTop = scrollToShow(rows.indexOf(row), ROW_PIXELS, view.current.scrollTop, viewHeight.value);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const at = rows.findIndex((row) => row.key === active.value);
    const page = Math.max(Math.floor(viewHeight.value / ROW_PIXELS) - 1, 1);
    const from = at < 0 ? rows.length - 1 : at;
    const steps: Record<string, number> = {
      ArrowDown: from + 1,
      ArrowUp: from - 1,
      PageDown: from + page,
      PageUp: from - page,
      Home: 0,
      End: rows.length - 1,
    };
    const to = steps[event.key];
    if (to !== undefined) move(to);
    else if ((event.key === "Enter" || event.key === " ") && active.value !== null) onOpen(active.value);
    else return;
    event.preventDefault();
  };

  return (
    <div
      ref={view}
      class="event-list"
      role="grid"
      tabIndex={0}
      aria-label="Events"
      aria-rowcount={rows.length}
      aria-activedescendant={rows.slice(range.first, range.end).some((row) => row.key === active.value) ? label.value : undefined}
      onKeyDown={onKeyDown}
      onScroll={(event) => {
        const { scrollTop: top, clientHeight, scrollHeight } = event.currentTarget;
        scrollTop.value = top;
        follows.current = isAtEnd(top, clientHeight, scrollHeight);
      }}
    >
      <div class="event-list-height" role="presentation" ref={(element) => void element?.style.setProperty("height", `${range.height}px`)}>
        <div
          role="presentation"
          ref={(element) => void element?.style.setProperty("transform", `translateY(${range.first * ROW_PIXELS}px)`)}
        >
          {rows.slice(range.first, range.end).map((row, index) => (
            <Row
              key={row.key}
              row={row}
              number={range.first + index + 1}
              isActive={row.key === active.value}
              isOpened={row.key === opened}
              onOpen={() => {
                active.value = row.key;
                onOpen(row.key);
              }}
            />
          ))}
        </div>
      </div>
    </div>
  );
}

interface RowProps {
  row: EventRow;
  number: number;
  isActive: boolean;
  isOpened: boolean;
  onOpen(): void;
}

function Row({ row, number, isActive, isOpened, onOpen }: RowProps) {
  return (
    <div
      id={`event-${row.key}`}
      role="row"
      aria-rowindex={number}
      aria-selected={isOpened}
      class={`event-row ${isActive ? "active" : ""}`}
      onClick={onOpen}
    >
      <span role="gridcell" class="event-cursor">
        {row.cursor ?? "–"}
      </span>
      <span role="gridcell" class="event-what">
        <b class={`event-type ${family(row.event.type)}`}>{row.event.type}</b> <span class="event-summary">{summary(row.event)}</span>
      </span>
      <span role="gridcell" class="event-time">
        {row.sinceStart === null ? "" : `+${duration(row.sinceStart)}`}
      </span>
      <span role="gridcell" class="event-size">
        {byteSize(row.bytes)}
      </span>
    </div>
  );
}

/** What an event is about, for its colour. */
function family(type: string): string {
  if (type.endsWith("_ERROR")) return "bad";
  const word = type.slice(0, type.indexOf("_"));
  return { RUN: "run", STEP: "run", TEXT: "text", REASONING: "reasoning", TOOL: "tool", SUBAGENT: "run" }[word] ?? "other";
}
