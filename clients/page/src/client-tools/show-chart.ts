import type { ClientTool } from "../session/types";
import { CHART_PARAMETERS, chartData } from "./chart-data";

/** The chart stands in the thread, drawn from the call's arguments: it is there after a reload, too. */
export const showChartTool: ClientTool = {
  name: "show_chart",
  description: "Draw a bar or line chart of numbers for the user, in the conversation.",
  parameters: CHART_PARAMETERS as unknown as Record<string, unknown>,
  run(args) {
    const data = chartData(args);
    if (typeof data === "string") throw new Error(data);
    const count = data.series.reduce((sum, { values }) => sum + values.length, 0);
    return `The user sees a ${data.kind} chart “${data.title}” of ${count} values.`;
  },
};
