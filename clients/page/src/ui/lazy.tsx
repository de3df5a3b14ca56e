import { signal } from "@preact/signals";
import { type ComponentType, type FunctionComponent, h } from "preact";
import { useEffect } from "preact/hooks";

const AGAIN_MILLISECONDS = 2_000;

/**
 * A component that is loaded when it is drawn for the first time; until then nothing is drawn. Without a network it is
 * tried again.
 */
export function lazy<P extends object>(load: () => Promise<ComponentType<P>>): FunctionComponent<P> {
  const loaded = signal<{ Component: ComponentType<P> } | null>(null);
  let isLoading = false;
  const begin = () => {
    if (isLoading) return;
    isLoading = true;
    load().then(
      (Component) => (loaded.value = { Component }),
      () => {
        setTimeout(() => {
          isLoading = false;
          begin();
        }, AGAIN_MILLISECONDS);
      },
    );
  };
  return (props) => {
    useEffect(begin, []);
    return loaded.value && h(loaded.value.Component, props);
  };
}
