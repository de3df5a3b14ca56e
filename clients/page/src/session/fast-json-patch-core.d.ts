declare module "fast-json-patch/module/core.mjs" {
  export { applyPatch } from "fast-json-patch";
}
