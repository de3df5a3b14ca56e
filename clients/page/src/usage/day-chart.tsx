import { useSignal } from "@preact/signals";
import { useId, useRef } from "preact/hooks";
import { useWidth } from "../ui/use-width";
import { axis, type DayBar, labelled, type Metric, PARTS } from "./day-bars";
import "./day-chart.css";

const HEIGHT = 200;
const LEFT = 56;
const BOTTOM = 22;
const TOP = 8;

interface DayChartProps {
  bars: readonly DayBar[];
  metric: Metric;
  /** How a value is written. */
  format(value: number): string;
}

/** Bars by day. Arrow keys go through the days; the chosen one is told below. */
export function DayChart({ bars, metric, format }: DayChartProps) {
  const holder = useRef<HTMLDivElement>(null);
  const width = useWidth(holder, 260, 600);
  const active = useSignal<number | null>(null);
  const id = useId();

  const { top, steps } = axis(Math.max(...bars.map((bar) => bar.total)), metric !== "cost");
  const plot = HEIGHT - TOP - BOTTOM;
  const y = (value: number) => TOP + plot - (value / top) * plot;
  const step = (width.value - LEFT) / bars.length;
  const isLabelled = labelled(bars.length, width.value - LEFT);
  const move = (event: KeyboardEvent) => {
    const at = active.value ?? bars.length;
    const to = { ArrowRight: (active.value ?? -1) + 1, ArrowLeft: at - 1, Home: 0, End: bars.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    active.value = Math.max(0, Math.min(to, bars.length - 1));
  };
  const shown = active.value === null ? undefined : bars[active.value];
  return (
    <div ref={holder} class="day-chart">
      <svg
        width={width.value}
        height={HEIGHT}
        role="listbox"
        aria-orientation="horizontal"
        tabindex={0}
        aria-label="Usage by day"
        aria-activedescendant={active.value === null ? undefined : `${id}-${active.value}`}
        onKeyDown={move}
        onMouseLeave={() => (active.value = null)}
      >
        <g role="presentation" aria-hidden="true">
          {steps.map((value) => (
            <g key={value}>
              <line class="usage-line" x1={LEFT} x2={width.value} y1={y(value)} y2={y(value)} />
              <text class="usage-value" x={LEFT - 8} y={y(value) + 4}>
                {format(value)}
              </text>
            </g>
          ))}
        </g>
        {bars.map((bar, index) => (
          <g
            key={bar.day}
            id={`${id}-${index}`}
            role="option"
            aria-selected={index === active.value}
            aria-label={`${bar.title}: ${said(bar, metric, format)}`}
            class={`usage-bar ${index === active.value ? "active" : ""}`}
            onMouseEnter={() => (active.value = index)}
            onClick={() => (active.value = index)}
          >
            <rect class="usage-back" x={LEFT + index * step} y={TOP} width={step} height={plot} />
            <Stack bar={bar} x={LEFT + index * step} step={step} y={y} />
            {isLabelled(index) && (
              <text class="usage-day" x={LEFT + index * step + step / 2} y={HEIGHT - 6} aria-hidden="true">
                {bar.label}
              </text>
            )}
          </g>
        ))}
      </svg>
      <p class="usage-said" aria-hidden="true">
        {shown ? `${shown.title}: ${said(shown, metric, format)}` : "Choose a bar to see its numbers."}
      </p>
    </div>
  );
}

function Stack({ bar, x, step, y }: { bar: DayBar; x: number; step: number; y(value: number): number }) {
  const gap = Math.min(step * 0.25, 6);
  const width = Math.min(step - gap, 40);
  let below = 0;
  return (
    <>
      {bar.parts.map((value, part) => {
        const bottom = y(below);
        below += value;
        const height = bottom - y(below);
        // What is there is seen, however small.
        const seen = value > 0 ? Math.max(height, 2) : 0;
        return <rect key={part} class={`usage-stack part-${part}`} x={x + (step - width) / 2} y={bottom - seen} width={width} height={seen} rx={Math.min(2, width / 2)} />;
      })}
    </>
  );
}

function said(bar: DayBar, metric: Metric, format: (value: number) => string): string {
  const names = PARTS[metric];
  if (names.length === 1) return `${format(bar.total)}${metric === "calls" ? " calls" : ""}`;
  return bar.parts.map((value, index) => `${names[index]!.toLowerCase()} ${format(value)}`).join(", ");
}
