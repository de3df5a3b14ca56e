/** What `show_chart` draws: read from a call's arguments, in words a model understands when they do not fit. */
import { isObject } from "../cards/loose-json";

export interface Series {
  name: string;
  values: readonly number[];
}

export interface ChartData {
  kind: "bar" | "line";
  title: string;
  labels: readonly string[];
  series: readonly Series[];
  unit: string;
}

export const MOST_POINTS = 100;
export const MOST_SERIES = 6;

export const CHART_PARAMETERS = {
  type: "object",
  properties: {
    title: { type: "string", description: "What the chart shows" },
    kind: { type: "string", enum: ["bar", "line"], description: "bar compares, line shows a course; default bar" },
    labels: { type: "array", items: { type: "string" }, description: "one for each value, such as months" },
    values: { type: "array", items: { type: "number" }, description: "of a chart with one series" },
    series: {
      type: "array",
      description: "of a chart with several series, instead of values",
      items: {
        type: "object",
        properties: { name: { type: "string" }, values: { type: "array", items: { type: "number" } } },
        required: ["name", "values"],
      },
    },
    unit: { type: "string", description: "of the values, such as EUR" },
  },
  required: ["title"],
} as const;

/** Read a call's arguments; a text says what is wrong with them. */
export function chartData(given: unknown): ChartData | string {
  if (!isObject(given)) return "The arguments must be an object.";
  const series = readSeries(given);
  if (typeof series === "string") return series;
  const longest = Math.max(...series.map(({ values }) => values.length));
  if (longest === 0) return "There are no values to draw.";
  if (longest > MOST_POINTS) return `There are ${longest} values in a series; draw at most ${MOST_POINTS}.`;
  const labels = Array.isArray(given["labels"]) ? given["labels"].map(String) : [];
  if (labels.length > 0 && labels.length !== longest) {
    return `There are ${labels.length} labels for ${longest} values; give one label for each value.`;
  }
  return {
    kind: given["kind"] === "line" ? "line" : "bar",
    title: typeof given["title"] === "string" && given["title"].trim() ? given["title"].trim() : "Chart",
    labels: labels.length > 0 ? labels : Array.from({ length: longest }, (_, place) => String(place + 1)),
    series,
    unit: typeof given["unit"] === "string" ? given["unit"].trim() : "",
  };
}

function readSeries(given: Record<string, unknown>): Series[] | string {
  const several = given["series"];
  if (!Array.isArray(several) || several.length === 0) {
    const values = numbers(given["values"]);
    return values ? [{ name: "Value", values }] : "'values' must be a list of numbers, or give 'series'.";
  }
  if (several.length > MOST_SERIES) return `There are ${several.length} series; draw at most ${MOST_SERIES}.`;
  const series: Series[] = [];
  for (const [place, one] of several.entries()) {
    const values = isObject(one) ? numbers(one["values"]) : null;
    if (!values) return `'series[${place}].values' must be a list of numbers.`;
    if (values.length === 0) return `'series[${place}].values' is empty; leave the series out.`;
    const name = isObject(one) && typeof one["name"] === "string" && one["name"] ? one["name"] : `Series ${place + 1}`;
    series.push({ name, values });
  }
  return series;
}

function numbers(value: unknown): number[] | null {
  const isList = Array.isArray(value) && value.every((one) => typeof one === "number" && Number.isFinite(one));
  return isList ? (value as number[]) : null;
}
