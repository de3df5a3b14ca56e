/** The part of `fast-json-patch` that `@ag-ui/client` uses: it takes patches in, and makes none. */
import { applyPatch } from "fast-json-patch/module/core.mjs";

export default { applyPatch };
