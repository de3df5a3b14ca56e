import type { ClientTool } from "../session/types";

/** The tools that the page offers to the agent with every run. */
export const clientTools: readonly ClientTool[] = [];
