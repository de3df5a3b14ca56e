import { useId, useRef } from "preact/hooks";
import { cut } from "../ui/cut";
import { useWidth } from "../ui/use-width";
import { duration } from "../usage/format";
import type { Span, Timeline } from "./timeline";
import { bar, ticks } from "./timeline-scale";
import "./timeline-chart.css";

const ROW = 26;
const AXIS = 24;
const BAR = 12;
/** Room for the time behind a bar. */
const TIME = 62;

interface TimelineChartProps {
  timeline: Timeline;
  active: string | null;
  onActive(id: string | null): void;
}

/** The spans of a run as bars over time. Arrow keys go through them. */
export function TimelineChart({ timeline, active, onActive }: TimelineChartProps) {
  const holder = useRef<HTMLDivElement>(null);
  const width = useWidth(holder, 240, 360);
  const id = useId();

  const { spans, length } = timeline;
  const labels = Math.min(Math.round(width.value * 0.36), 190);
  const room = width.value - labels - TIME;
  const height = AXIS + spans.length * ROW + 4;
  const move = (event: KeyboardEvent) => {
    const at = spans.findIndex((span) => span.id === active);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: spans.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    onActive(spans[Math.max(0, Math.min(to, spans.length - 1))]?.id ?? null);
  };
  return (
    <div ref={holder} class="timeline-chart">
      <svg
        width={width.value}
        height={height}
        role="listbox"
        tabindex={0}
        aria-label="Timeline of the run"
        aria-activedescendant={active === null ? undefined : `${id}-${active}`}
        onKeyDown={move}
        onMouseLeave={() => onActive(null)}
      >
        <g role="presentation" aria-hidden="true" transform={`translate(${labels} 0)`}>
          {ticks(length, room).map(({ at, label }) => (
            <g key={at} transform={`translate(${(at / length) * room} 0)`}>
              <line class="timeline-tick" y1={AXIS - 6} y2={height} />
              <text class="timeline-axis" x={2} y={12}>
                {label}
              </text>
            </g>
          ))}
          {timeline.firstToken !== null && <FirstToken x={(timeline.firstToken / length) * room} height={height} />}
        </g>
        {spans.map((span, index) => (
          <Row
            key={span.id}
            id={`${id}-${span.id}`}
            span={span}
            length={length}
            y={AXIS + index * ROW}
            labels={labels}
            room={room}
            isActive={span.id === active}
            onActive={() => onActive(span.id)}
          />
        ))}
      </svg>
    </div>
  );
}

function FirstToken({ x, height }: { x: number; height: number }) {
  return <line class="timeline-first" x1={x} x2={x} y1={AXIS - 6} y2={height} />;
}

interface RowProps {
  id: string;
  span: Span;
  length: number;
  y: number;
  labels: number;
  room: number;
  isActive: boolean;
  onActive(): void;
}

function Row({ id, span, length, y, labels, room, isActive, onActive }: RowProps) {
  const end = span.end ?? length;
  const { x, width } = bar(span.start, end, length, room);
  const indent = 4 + span.depth * 10;
  const middle = y + ROW / 2;
  const first = span.firstToken === null ? null : bar(span.start, Math.min(span.firstToken, end), length, room, 0);
  return (
    <g role="presentation" class={`timeline-row ${isActive ? "active" : ""}`} onMouseEnter={onActive} onClick={onActive}>
      {/* What is read aloud says more than what is written beside it. */}
      <g id={id} role="option" aria-selected={isActive} aria-label={spoken(span, end)}>
        <rect class="timeline-back" x={0} y={y} width={labels + room + TIME} height={ROW} rx={5} />
      </g>
      <text class="timeline-label" x={indent} y={middle + 4} aria-hidden="true">
        {shortened(span.label, labels - indent - 6)}
      </text>
      <g transform={`translate(${labels} 0)`} aria-hidden="true">
        <rect class={`timeline-bar ${span.kind} ${span.state}`} x={x} y={middle - BAR / 2} width={width} height={BAR} rx={Math.min(3, width / 2)} />
        {first !== null && first.width > 1 && (
          <rect class="timeline-wait" x={first.x} y={middle - BAR / 2} width={first.width} height={BAR} rx={Math.min(3, first.width / 2)} />
        )}
        <text class="timeline-time" x={x + width + 5} y={middle + 4}>
          {duration(end - span.start)}
        </text>
      </g>
    </g>
  );
}

const KINDS = {
  queue: "Waiting",
  stage: "Stage",
  model: "Model call",
  tool: "Tool call",
  subagent: "Subagent",
  retry: "Retry",
} as const;

export function kindName(span: Span): string {
  return KINDS[span.kind];
}

const STATES = { done: "", running: "going on", failed: "failed", stopped: "stopped", waiting: "waiting" } as const;

export function stateName(span: Span): string {
  return STATES[span.state];
}

function spoken(span: Span, end: number): string {
  const parts = [`${kindName(span)} ${span.label}`, `${duration(end - span.start)} from ${duration(span.start)}`, stateName(span)];
  return [...parts.filter(Boolean), ...span.facts.map(([name, value]) => `${name} ${value}`)].join(", ");
}

/** About as many characters as there is room for. */
function shortened(text: string, pixels: number): string {
  return cut(text, Math.max(Math.floor(pixels / 6.6), 3));
}
