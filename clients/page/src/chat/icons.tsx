import { icon } from "../ui/icons";

export const PaperclipIcon = icon(<path d="M19.5 11.5l-7.7 7.700a4.8 4.8 0 01-6.8-6.800l8-8a3.2 3.2 0 014.5 4.5l-8 8a1.6 1.6 0 01-2.3-2.300l7.3-7.2" />);
export const MicrophoneIcon = icon(
  <>
    <rect x="9" y="3.5" width="6" height="11" rx="3" />
    <path d="M5.5 11.5a6.5 6.5 0 0013 0M12 18v3" />
  </>,
);
export const RetryIcon = icon(<path d="M19.5 12a7.5 7.5 0 11-2.2-5.300L19.5 9M19.5 4v5h-5" />);
const DocumentIcon = icon(<path d="M13.5 3.5H7A1.5 1.5 0 005.5 5v14A1.5 1.5 0 007 20.5h10a1.5 1.5 0 001.5-1.5V8.5zM13.5 3.5v5h5M9 13h6M9 16.5h4" />);
const PictureIcon = icon(
  <>
    <rect x="4" y="4.5" width="16" height="15" rx="2" />
    <circle cx="9" cy="9.5" r="1.5" />
    <path d="M4.5 17l4.5-4.5 3.5 3.5 2.5-2.5 4.5 4.5" />
  </>,
);
export const SoundIcon = icon(<path d="M5 10v4M9 7v10M13 4.5v15M17 8v8M20.5 10.5v3" />);
/** What an attachment is. */
export const KIND_ICONS = { image: PictureIcon, audio: SoundIcon, document: DocumentIcon };
export const MoreSendIcon = icon(<path d="M7 10l5 5 5-5" />);
