import { useEffect, useState } from "preact/hooks";
import type { ComponentType } from "preact";
import { toastError } from "../ui/toast";
import { model } from "./embedded-mode";

/** The first-run card on the empty thread, where there is a choice to make. Loaded only then. */
export function FirstRun() {
  const isOffered = model.value !== null && model.value.source !== "environment";
  const [wasDemo, setWasDemo] = useState(false);
  const [loaded, setLoaded] = useState<{ Card: ComponentType } | null>(null);
  const isDemo = model.value?.source === "demo";
  useEffect(() => {
    if (!isDemo) return;
    setWasDemo(true);
    import("./first-run-card").then(({ FirstRunCard }) => setLoaded({ Card: FirstRunCard }), toastError);
  }, [isDemo]);
  // After the choice the card stays, to say that it worked.
  return isOffered && wasDemo && loaded ? <loaded.Card /> : null;
}
