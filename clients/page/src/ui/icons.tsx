/** Icons as inline SVG: they take the colour of the text, and need no request. */
import type { ComponentChildren } from "preact";

export interface IconProps {
  size?: number;
  class?: string;
}

export type Icon = (props: IconProps) => preact.JSX.Element;

/** Make an icon from the inside of a 24 × 24 drawing. */
export function icon(drawing: ComponentChildren): Icon {
  return ({ size = 18, class: name }) => (
    <svg
      class={name}
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      stroke-width="1.8"
      stroke-linecap="round"
      stroke-linejoin="round"
      aria-hidden="true"
      focusable="false"
    >
      {drawing}
    </svg>
  );
}

export const PlusIcon = icon(<path d="M12 5v14M5 12h14" />);
export const CloseIcon = icon(<path d="M6 6l12 12M18 6L6 18" />);
export const SidebarIcon = icon(
  <>
    <rect x="3.5" y="4.5" width="17" height="15" rx="2.5" />
    <path d="M9.5 4.5v15" />
  </>,
);
export const SearchIcon = icon(
  <>
    <circle cx="11" cy="11" r="6.5" />
    <path d="M20 20l-4.2-4.2" />
  </>,
);
export const MoreIcon = icon(
  <>
    <circle cx="5" cy="12" r="1" fill="currentColor" />
    <circle cx="12" cy="12" r="1" fill="currentColor" />
    <circle cx="19" cy="12" r="1" fill="currentColor" />
  </>,
);
export const PencilIcon = icon(<path d="M4 20l1-4L16.5 4.5a2.1 2.1 0 013 3L8 19zM14.5 6.5l3 3" />);
export const TrashIcon = icon(<path d="M4.5 7h15M10 11v6M14 11v6M6 7l1 12a1.5 1.5 0 001.5 1.5h7A1.5 1.5 0 0017 19l1-12M9 7V4.5h6V7" />);
export const SendIcon = icon(<path d="M12 19V5M6 11l6-6 6 6" />);
export const StopIcon = icon(<rect x="7" y="7" width="10" height="10" rx="2" fill="currentColor" />);
export const ArrowDownIcon = icon(<path d="M12 5v14M6 13l6 6 6-6" />);
export const ChevronIcon = icon(<path d="M9 6l6 6-6 6" />);
export const CopyIcon = icon(
  <>
    <rect x="8.5" y="8.5" width="11" height="11" rx="2" />
    <path d="M15.5 8.5v-2a2 2 0 00-2-2h-7a2 2 0 00-2 2v7a2 2 0 002 2h2" />
  </>,
);
export const CheckIcon = icon(<path d="M5 12.5l4.5 4.5L19 7.5" />);
export const AlertIcon = icon(<path d="M12 8.5v4.5M12 16.5v.1M10.6 4.5L2.8 18a1.6 1.6 0 001.4 2.4h15.6a1.6 1.6 0 001.4-2.4L13.4 4.5a1.6 1.6 0 00-2.8 0z" />);
export const SunIcon = icon(
  <>
    <circle cx="12" cy="12" r="4" />
    <path d="M12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4" />
  </>,
);
export const MoonIcon = icon(<path d="M20 14.5A8.5 8.5 0 019.5 4 8.5 8.5 0 1020 14.5z" />);
export const SystemThemeIcon = icon(
  <>
    <circle cx="12" cy="12" r="8.5" />
    <path d="M12 3.5v17a8.5 8.5 0 000-17z" fill="currentColor" />
  </>,
);
export const ToolIcon = icon(<path d="M14.5 6.5a4 4 0 005 5L11 20a2.1 2.1 0 01-3-3l8.5-8.5M14.5 6.5a4 4 0 014.2-3l-2.2 2.3.3 1.7 1.7.3L20.8 5.600" />);
export const StateIcon = icon(<path d="M8 4.5H7a2 2 0 00-2 2v3.200a2.300 2.300 0 01-2 2.300 2.300 2.300 0 012 2.300v3.200a2 2 0 002 2h1M16 4.500h1a2 2 0 012 2v3.200a2.300 2.300 0 002 2.300 2.300 2.300 0 00-2 2.300v3.200a2 2 0 01-2 2h-1M12 12v.100" />);
export const OfflineIcon = icon(<path d="M3 3l18 18M8.500 15.500a5 5 0 015.500-1M5 12a10 10 0 014.500-2.600M2 8.500a15 15 0 014-2.600M12.500 9a10 10 0 016.500 3M10.500 5a15 15 0 0111.500 3.500M12 19v.100" />);
export const KeyIcon = icon(
  <>
    <circle cx="8" cy="15" r="4.500" />
    <path d="M11.300 11.700L20 3M16.500 6.500l3 3" />
  </>,
);
export const InspectorIcon = icon(
  <>
    <path d="M4 6h10M4 12h6M4 18h5" />
    <circle cx="16" cy="14" r="3.5" />
    <path d="M18.6 16.6L21 19" />
  </>,
);
export const BookmarkIcon = icon(<path d="M7 4.500h10a1 1 0 011 1V20l-6-4-6 4V5.500a1 1 0 011-1z" />);
export const PersonIcon = icon(
  <>
    <circle cx="12" cy="8" r="3.5" />
    <path d="M5 20c.5-4 3.300-6 7-6s6.500 2 7 6" />
  </>,
);
export const ChartIcon = icon(<path d="M4 20h16M7 16v-5M12 16V6M17 16v-8" />);
export const ModelIcon = icon(
  <>
    <rect x="6.5" y="6.5" width="11" height="11" rx="2" />
    <path d="M9.5 3.5v3M14.5 3.5v3M9.5 17.5v3M14.5 17.5v3M3.5 9.5h3M3.5 14.5h3M17.5 9.5h3M17.5 14.5h3" />
  </>,
);
export const ShieldIcon = icon(<path d="M12 3.5l7 2.500v5.500c0 4.500-3 7.500-7 9-4-1.500-7-4.500-7-9V6zM9 12l2.200 2.200L15.500 10" />);
export const LogoMark = ({ size = 28 }: IconProps) => (
  <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true" focusable="false">
    <rect width="32" height="32" rx="8" fill="var(--accent)" />
    <path
      d="M8 21c5 0 4-10 9-10h5m0 0-3.500-3.500M22 11l-3.500 3.500"
      fill="none"
      stroke="#fff"
      stroke-width="2.600"
      stroke-linecap="round"
      stroke-linejoin="round"
    />
    <circle cx="8" cy="21" r="2.200" fill="#fff" />
  </svg>
);
