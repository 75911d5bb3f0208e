import { useLocation } from 'wouter';

/** A text that people wrote as Markdown. @param html made of it by the server, without any HTML of the text. */
export function Markdown({ html }: { html: string }) {
  const [, go] = useLocation();
  return (
    <div
      className="markdown"
      dangerouslySetInnerHTML={{ __html: html }}
      onClick={(event) => {
        // A link to another part of this page opens as every other one does.
        const href = (event.target as Element).closest('a')?.getAttribute('href');
        if (!href?.startsWith('/') || event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        go(href);
      }}
    />
  );
}
