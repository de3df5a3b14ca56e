import { useEffect, useState } from "preact/hooks";
import { CopyButton } from "../ui/copy-button";

interface CodeBlockProps {
  language: string;
  text: string;
  grows: boolean;
}

/** Code with its language and a button to copy it; coloured when it is complete. */
export function CodeBlock({ language, text, grows }: CodeBlockProps) {
  const [coloured, setColoured] = useState<{ text: string; html: string } | null>(null);
  useEffect(() => {
    if (grows || !language) return;
    let isWanted = true;
    void import("./highlight").then(({ highlight }) => {
      const html = highlight(text, language);
      if (isWanted && html !== null) setColoured({ text, html });
    });
    return () => {
      isWanted = false;
    };
  }, [text, language, grows]);
  return (
    <figure class="code-block">
      <figcaption>
        <span>{language || "text"}</span>
        <CopyButton text={text} label="Copy code" />
      </figcaption>
      <pre tabIndex={0}>
        {coloured?.text === text ? <code dangerouslySetInnerHTML={{ __html: coloured.html }} /> : <code>{text}</code>}
      </pre>
    </figure>
  );
}
