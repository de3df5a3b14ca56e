import { useId } from "preact/hooks";
import { type ChartData } from "./chart-data";
import { geometryOf, HEIGHT, WIDTH } from "./chart-geometry";
import "./chart.css";

/** A bar or line chart as inline SVG; the same figures as a table are one click away. */
export function Chart({ data }: { data: ChartData }) {
  const { zero, left, right, ticks, labels, labelY, bars, lines } = geometryOf(data);
  const heading = useId();
  const several = data.series.length > 1;
  return (
    <figure class="chart" aria-labelledby={heading}>
      <figcaption id={heading}>
        {data.title}
        {data.unit && <span class="chart-unit"> in {data.unit}</span>}
      </figcaption>
      {several && (
        <ul class="chart-legend">
          {data.series.map((series, index) => (
            <li key={index} class={`series-${index}`}>
              {series.name}
            </li>
          ))}
        </ul>
      )}
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={spoken(data)}>
        {ticks.map(({ value, y }) => (
          <g key={value}>
            <line class="chart-grid" x1={left} x2={right} y1={y} y2={y} />
            <text class="chart-text" x={left - 8} y={y + 4} text-anchor="end">
              {short(value)}
            </text>
          </g>
        ))}
        {labels.map(({ text, x }) => (
          <text key={x} class="chart-text" x={x} y={labelY} text-anchor="middle">
            {text}
          </text>
        ))}
        {bars.map((bar) => (
          <rect key={`${bar.series}-${bar.point}`} class={`chart-bar series-${bar.series}`} x={bar.x} y={bar.y} width={bar.width} height={bar.height} rx="3">
            <title>{`${data.labels[bar.point]}: ${data.series[bar.series]!.values[bar.point]}`}</title>
          </rect>
        ))}
        {lines.map((points, series) => (
          <g key={series} class={`series-${series}`}>
            <polyline class="chart-line" points={points.map(({ x, y }) => `${x},${y}`).join(" ")} />
            {points.map(({ x, y }, point) => (
              <circle key={point} class="chart-dot" cx={x} cy={y} r="3.5">
                <title>{`${data.labels[point]}: ${data.series[series]!.values[point]}`}</title>
              </circle>
            ))}
          </g>
        ))}
        <line class="chart-zero" x1={left} x2={right} y1={zero} y2={zero} />
      </svg>
      <details class="chart-table">
        <summary>Show as a table</summary>
        <div class="chart-scroll" tabIndex={0} role="region" aria-label={`Table of ${data.title}`}>
          <Table data={data} />
        </div>
      </details>
    </figure>
  );
}

function Table({ data }: { data: ChartData }) {
  return (
    <table>
      <thead>
        <tr>
          <td />
          {data.series.map((series, index) => (
            <th key={index} scope="col">
              {series.name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {data.labels.map((label, point) => (
          <tr key={point}>
            <th scope="row">{label}</th>
            {data.series.map((series, index) => (
              <td key={index}>{series.values[point] ?? "–"}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function spoken(data: ChartData): string {
  const ranges = data.series.map(
    ({ name, values }) => `${name}: ${values.length} values from ${Math.min(...values)} to ${Math.max(...values)}`,
  );
  return `${data.kind === "bar" ? "Bar" : "Line"} chart, ${data.title}. ${ranges.join(". ")}.`;
}

function short(value: number): string {
  return Math.abs(value) >= 10_000
    ? new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(value)
    : String(value);
}
