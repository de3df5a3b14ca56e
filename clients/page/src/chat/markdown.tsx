import { memo } from "../ui/memo";
import { useMemo } from "preact/hooks";
import { CodeBlock } from "./code-block";
import { MarkdownText, type Block } from "./markdown-text";
import "./markdown.css";

interface MarkdownProps {
  text: string;
  /** More may follow. */
  grows: boolean;
}

/** A text as Markdown. While it grows, only its last block is drawn again. */
export const Markdown = memo(({ text, grows }: MarkdownProps) => {
  const reader = useMemo(() => new MarkdownText(), []);
  const blocks = useMemo(() => reader.read(text, grows), [text, grows]);
  return (
    <div class="markdown">
      {blocks.map((block, place) => (
        <MarkdownBlock key={place} block={block} grows={grows && place === blocks.length - 1} />
      ))}
    </div>
  );
});

const MarkdownBlock = memo(({ block, grows }: { block: Block; grows: boolean }) =>
  block.kind === "code" ? (
    <CodeBlock language={block.language} text={block.text} grows={grows} />
  ) : (
    // Sanitised in markdown-text.ts.
    <div dangerouslySetInnerHTML={{ __html: block.html }} />
  ),
);
