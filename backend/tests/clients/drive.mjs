// node drive.mjs <base URL> <client version>: an official client, driven line by line (see serve.mjs).

import { serve } from "./serve.mjs";

const PACKAGES = { "1.0.0": "@ag-ui/client", "0.0.59": "ag-ui-client-0.0.59" };

const [base, version] = process.argv.slice(2);
await serve(await import(PACKAGES[version]), base);
