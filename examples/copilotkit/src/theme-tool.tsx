/** A tool that the page offers to the agent, and carries out itself. */
import { useFrontendTool } from "@copilotkit/react-core/v2";
import { z } from "zod";

const parameters = z.object({ theme: z.enum(["light", "dark"]) });

/** Let the agent choose between light and dark. */
export function ThemeTool() {
  useFrontendTool<z.infer<typeof parameters>>({
    name: "set_theme",
    description: "Switches the page to a light or a dark theme.",
    parameters,
    handler: async ({ theme }) => {
      document.documentElement.classList.toggle("dark", theme === "dark");
      return `The page is ${theme} now.`;
    },
    render: ({ args, status }) => <p className="tool">{status === "complete" ? `Theme: ${args.theme}` : "Changing the theme …"}</p>,
  });
  return null;
}
