import type { ClientTool } from "../session/types";
import { setThemeTool } from "./set-theme";
import { showChartTool } from "./show-chart";
import { theme } from "../layout/theme";

/** The tools that the page offers to the agent with every run. */
export const clientTools: readonly ClientTool[] = [setThemeTool((choice) => (theme.value = choice)), showChartTool];
