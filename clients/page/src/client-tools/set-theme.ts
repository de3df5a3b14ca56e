import type { ClientTool } from "../session/types";

export type ThemeChoice = "light" | "dark" | "system";

const CHOICES: readonly string[] = ["light", "dark", "system"];

/** Make the tool that changes the page's colours; `choose` keeps the choice and shows it. */
export function setThemeTool(choose: (theme: ThemeChoice) => void): ClientTool {
  return {
    name: "set_theme",
    description: "Change the colours of the chat page that the user looks at.",
    parameters: {
      type: "object",
      properties: { theme: { type: "string", enum: CHOICES, description: "system follows the user's device" } },
      required: ["theme"],
    },
    run({ theme }) {
      if (typeof theme !== "string" || !CHOICES.includes(theme)) {
        throw new Error("'theme' must be 'light', 'dark' or 'system'.");
      }
      choose(theme as ThemeChoice);
      return theme === "system" ? "The page now follows the device's theme." : `The page now has the ${theme} theme.`;
    },
  };
}
