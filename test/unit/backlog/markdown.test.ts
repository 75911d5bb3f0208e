import { htmlOf } from '../../../domain/backlog/markdown';

it('renders what people write', () => {
  const html = htmlOf(
    '# Why\n\n- **one**\n- `two`\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n[docs](https://example.com/a) and /ITEM-3',
  );
  for (const part of ['<h1>Why</h1>', '<strong>one</strong>', '<code>two</code>', '<td>2</td>'])
    expect(html).toContain(part);
  expect(html).toContain('<a href="https://example.com/a" rel="noopener noreferrer nofollow">docs</a>');
});

/** Nothing of these may act: no element but those of Markdown, no address but of web and mail. */
it.each([
  '<script>alert(1)</script>',
  '<img src=x onerror=alert(1)>',
  '![x](https://tracker.example/p.png)',
  '![x](x" onerror="alert(1))',
  '[x](javascript:alert(1))',
  '[x](JaVaScRiPt:alert(1))',
  '[x](&#106;avascript:alert(1))',
  '[x](java\tscript:alert(1))',
  '[x](vbscript:msgbox(1))',
  '[x](data:text/html;base64,PHNjcmlwdD4=)',
  '[x](file:///etc/passwd)',
  '[x](//evil.example)',
  '[x](https://a.example "t\\" onmouseover=alert(1) x=\\"")',
  '<javascript:alert(1)>',
  '[x]: javascript:alert(1)\n\n[x]',
  '<svg/onload=alert(1)>',
  '`</code><script>alert(1)</script>`',
  '```html"><script>\n</script>\n```',
  '<iframe srcdoc="<script>1</script>">',
  '<a href="javascript:alert(1)">x</a>',
  '<style>*{display:none}</style>',
])('makes nothing act: %s', (text) => {
  const html = htmlOf(text);
  const elements = [...html.matchAll(/<\/?([a-z][a-z0-9]*)([^>]*)>/gi)];
  for (const [, name, attributes] of elements) {
    expect(['p', 'a', 'code', 'pre', 'em', 'strong', 'h1', 'ul', 'li', 'br']).toContain(name!.toLowerCase());
    expect(attributes!.replace(/"[^"]*"/g, '""')).toMatch(/^( (href|rel|title|class)="")*$/);
  }
  for (const [, href] of html.matchAll(/href="([^"]*)"/g))
    expect(href).toMatch(/^(https?:|mailto:|\/[^/]|#)/);
});

it('links the keys it names, and no others', () => {
  const html = htmlOf(
    'After ITEM-3 and RFC-12, see CP-24.1 (EPIC-2). Not SITEM-3, ITEM-03, ITEM-3b or `ITEM-4`.',
  );
  expect([...html.matchAll(/href="([^"]*)"[^>]*>([^<]*)</g)].map(([, href, text]) => [href, text])).toEqual([
    ['/backlog/ITEM-3', 'ITEM-3'],
    ['/change-requests/RFC-12', 'RFC-12'],
    ['/promotions/CP-24.1', 'CP-24.1'],
    ['/backlog?epic=EPIC-2', 'EPIC-2'],
  ]);
});
