import { signal } from "@preact/signals";

/** Whether the device has a network, as far as the browser knows. */
export const isOnline = signal(globalThis.navigator?.onLine ?? true);

globalThis.window?.addEventListener("online", () => (isOnline.value = true));
globalThis.window?.addEventListener("offline", () => (isOnline.value = false));
