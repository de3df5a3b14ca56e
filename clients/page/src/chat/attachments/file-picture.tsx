import { useEffect, useState } from "preact/hooks";
import { pictureOf } from "./pictures";

/** Return the address of a stored file for an element; `null` while it is fetched, `undefined` if it cannot be read. */
export function useFileAddress(fileId: string | null): string | null | undefined {
  const [address, setAddress] = useState<string | null | undefined>(null);
  useEffect(() => {
    if (fileId === null) return;
    let isWanted = true;
    pictureOf(fileId).then(
      (found) => isWanted && setAddress(found),
      () => isWanted && setAddress(undefined),
    );
    return () => {
      isWanted = false;
    };
  }, [fileId]);
  return address;
}

/** A picture that the service keeps. */
export function FilePicture({ fileId, alt, onMissing }: { fileId: string; alt: string; onMissing?: () => void }) {
  const address = useFileAddress(fileId);
  useEffect(() => {
    if (address === undefined) onMissing?.();
  }, [address]);
  return address ? <img src={address} alt={alt} onError={onMissing} /> : <span class="attachment-empty" />;
}
