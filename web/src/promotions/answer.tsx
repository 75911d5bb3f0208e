/** What was answered to a health check, folded: it may be long. */
export const Answer = ({ text }: { text: string }) => (
  <details className="answer">
    <summary>What it answered</summary>
    <pre tabIndex={0}>{indented(text)}</pre>
  </details>
);

function indented(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
