import type { Panel } from "../layout/panels";
import { ModelIcon, ShieldIcon } from "../ui/icons";
import { isEmbedded } from "./embedded-mode";

/** The panels of the embedded mode; other services have neither. */
export const embeddedPanels: readonly Panel[] = [
  {
    id: "resilience",
    title: "Resilience",
    icon: ShieldIcon,
    load: () => import("../resilience/resilience-panel").then((m) => m.ResiliencePanel),
    isOffered: () => isEmbedded.value,
  },
  {
    id: "model",
    title: "Model",
    icon: ModelIcon,
    load: () => import("./model-settings").then((m) => m.ModelSettings),
    isOffered: () => isEmbedded.value,
  },
];
