/**
 * Colours for code; loaded when the first complete block of code is shown. Few languages: each is bytes, and a block
 * without colours is still a block.
 */
import hljs from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import json from "highlight.js/lib/languages/json";
import python from "highlight.js/lib/languages/python";
import sql from "highlight.js/lib/languages/sql";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";

const LANGUAGES = { bash, json, python, sql, typescript, xml, yaml };
for (const [name, language] of Object.entries(LANGUAGES)) hljs.registerLanguage(name, language);
// The grammar of TypeScript is that of JavaScript and more.
hljs.registerAliases(["javascript", "js", "jsx", "mjs", "cjs"], { languageName: "typescript" });

const MAX_LENGTH = 50_000;

/** Return the code as HTML with classes, everything else escaped; `null` for a language that is not known. */
export function highlight(text: string, language: string): string | null {
  if (!hljs.getLanguage(language) || text.length > MAX_LENGTH) return null;
  return hljs.highlight(text, { language, ignoreIllegals: true }).value;
}
