/**
 * Markdown to safe HTML, block by block. While a text grows, its finished blocks are kept: only its end is read again.
 *
 * HTML in the text is shown as text. Images are links: the page asks no other host for anything.
 */
import DOMPurify from "dompurify";
import { Lexer, Marked, type Token, type Tokens } from "marked";

/** A block of a text: code, or HTML that may be set as it is. */
export type Block =
  | { kind: "code"; raw: string; language: string; text: string }
  | { kind: "html"; raw: string; html: string };

const LINKS = /^(?:https?:|mailto:|tel:|#)/i;

const marked = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    html: ({ text }) => (/^<br\s*\/?>$/i.test(text.trim()) ? "<br>" : escaped(text)),
    image: ({ href, text }) => `<a href="${escaped(href)}">${escaped(text || "image")}</a>`,
    checkbox: ({ checked }) => `<span class="task">${checked ? "☑" : "☐"}</span> `,
  },
});

DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName !== "A") return;
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer");
});

const ALLOWED = {
  ALLOWED_TAGS: [
    "a", "b", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "li", "ol", "p",
    "pre", "s", "span", "strong", "sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "ul",
  ],
  ALLOWED_ATTR: ["href", "title", "class", "start", "align"],
  ALLOWED_URI_REGEXP: LINKS,
};

/** The blocks of one text, read again as it grows. */
export class MarkdownText {
  #text = "";
  #blocks: readonly Block[] = [];
  /** Where the last block begins. */
  #lastAt = 0;

  /**
   * Return the blocks of a text. Blocks that say the same are the same objects.
   *
   * @param grows More may follow: only the last block is read again. A whole text is read once more as a whole, because
   * a link may be explained behind its block.
   */
  read(given: string, grows: boolean): readonly Block[] {
    const text = given.replace(/\r\n?/g, "\n");
    const goesOn = grows && text.startsWith(this.#text) && this.#blocks.length > 0;
    const from = goesOn ? this.#lastAt : 0;
    const kept = goesOn ? this.#blocks.slice(0, -1) : [];
    const { blocks, lastAt } = blocksOf(text.slice(from));
    const fresh = blocks.map((block, place) => {
      const before = this.#blocks[kept.length + place];
      return before && isSame(before, block) ? before : block;
    });
    this.#text = text;
    this.#blocks = [...kept, ...fresh];
    this.#lastAt = from + lastAt;
    return this.#blocks;
  }
}

function blocksOf(text: string): { blocks: Block[]; lastAt: number } {
  const blocks: Block[] = [];
  let at = 0;
  let lastAt = 0;
  for (const token of new Lexer(marked.defaults).lex(text)) {
    if (token.type !== "space" && token.type !== "def") {
      blocks.push(blockOf(token));
      lastAt = at;
    }
    at += token.raw.length;
  }
  return { blocks, lastAt };
}

function blockOf(token: Token): Block {
  if (token.type === "code") {
    const { lang = "", text } = token as Tokens.Code;
    return { kind: "code", raw: token.raw, language: lang.split(/\s/)[0] ?? "", text };
  }
  return { kind: "html", raw: token.raw, html: DOMPurify.sanitize(marked.parser([token]), ALLOWED) };
}

function isSame(a: Block, b: Block): boolean {
  if (a.kind === "html" && b.kind === "html") return a.html === b.html;
  return a.kind === b.kind && a.raw === b.raw;
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
