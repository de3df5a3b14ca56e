import { icon } from "../ui/icons";

export const PauseIcon = icon(<path d="M9 6v12M15 6v12" />);
export const PlayIcon = icon(<path d="M8 5.5v13l10-6.5z" />);
export const TerminalIcon = icon(<path d="M5 7l5 5-5 5M12 18h7" />);
