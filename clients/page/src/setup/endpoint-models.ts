/** The models of the address that is being typed, asked for when the user has left the field. */
import { useRef, useState } from "preact/hooks";
import { listModels } from "../api/embedded";
import { isAddress, refusalOf, type Refusal } from "./refusal-words";

export interface EndpointModels {
  names: readonly string[];
  refusal: Refusal | null;
  isAsking: boolean;
  /** Ask again; nothing happens while the text is no address. */
  ask(baseUrl: string, apiKey: string | null): Promise<void>;
  /** These are known already. */
  set(names: readonly string[]): void;
}

export function useEndpointModels(initial: readonly string[] = []): EndpointModels {
  const [names, setNames] = useState(initial);
  const [refusal, setRefusal] = useState<Refusal | null>(null);
  const [isAsking, setAsking] = useState(false);
  const asked = useRef<{ what: string; stop: AbortController } | null>(null);
  const ask = async (baseUrl: string, apiKey: string | null) => {
    const what = JSON.stringify([baseUrl.trim(), apiKey]);
    if (!isAddress(baseUrl) || asked.current?.what === what) return;
    asked.current?.stop.abort();
    const stop = new AbortController();
    asked.current = { what, stop };
    setAsking(true);
    try {
      const found = await listModels({ baseUrl: baseUrl.trim(), apiKey }, stop.signal);
      setNames(found.models);
      setRefusal(null);
    } catch (error) {
      if (stop.signal.aborted) return;
      setNames([]);
      setRefusal(refusalOf(error));
    }
    setAsking(false);
  };
  const set = (known: readonly string[]) => {
    asked.current?.stop.abort();
    asked.current = null;
    setAsking(false);
    setRefusal(null);
    setNames(known);
  };
  return { names, refusal, isAsking, ask, set };
}
