import { Refusal } from "../problems/refusal";
import { isOnline } from "../session/online";
import { Button } from "../ui/button";
import { CheckIcon } from "../ui/icons";
import { saveFile } from "../ui/save-file";
import { byteSize, count } from "../usage/format";
import { ExportDownload } from "./export-download";

/** Of the page and not of the panel: a download goes on when the panel is closed. */
const download = new ExportDownload(saveFile);

export function ExportPart() {
  const state = download.state.value;
  const start = () => void download.start();
  return (
    <section aria-labelledby="export-title">
      <h3 id="export-title">Export your data</h3>
      <p>
        Your conversations, files, memories, usage and connections in one file, as lines of JSON. Never a token. Whoever runs
        a service like this one can load it there.
      </p>
      {state.is === "busy" ? (
        <div class="export-busy">
          <Progress {...state} />
          <Button onClick={() => download.cancel()}>Cancel</Button>
        </div>
      ) : state.is === "failed" ? (
        <Refusal problem={state.problem} onRetry={start} />
      ) : (
        <Button disabled={!isOnline.value} onClick={start}>
          {state.is === "saved" ? "Export again" : "Export"}
        </Button>
      )}
      <p class="export-saved" role="status">
        {state.is === "saved" && (
          <>
            <CheckIcon size={16} /> Saved as {state.name}: {byteSize(state.bytes)}, complete.
          </>
        )}
      </p>
    </section>
  );
}

function Progress({ lines, bytes, announced }: { lines: number; bytes: number; announced: number | null }) {
  // Behind what is announced come the bytes of files: nobody knows yet how many.
  const isKnown = announced !== null && lines < announced;
  return (
    <div>
      <progress aria-label="Export" {...(isKnown ? { value: lines, max: announced } : {})} />
      <span>
        {bytes === 0 ? "Waiting for the service" : isKnown ? `${count(lines)} of ${count(announced)} entries` : "Files"}
        {bytes > 0 && ` · ${byteSize(bytes)}`}
      </span>
    </div>
  );
}
