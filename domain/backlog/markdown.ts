import MarkdownIt from 'markdown-it';
import { keyKinds, keyNumber, placeOf } from '../places';

/**
 * Markdown as HTML that is safe to show: HTML in the text stays text, links lead to the web or to mail alone, keys such
 * as ITEM-3 lead to what they name, and nothing is loaded from elsewhere.
 */
const markdown = new MarkdownIt({ html: false, linkify: true }).disable('image');
markdown.validateLink = (url) => /^(https?:|mailto:|\/(?!\/)|#)/i.test(url.trim());
const number = new RegExp(`^${keyNumber}(?![\\w-])`);
for (const kind of keyKinds)
  markdown.linkify.add(`${kind.toLowerCase()}-`, {
    validate: (text, at) => number.exec(text.slice(at, at + 24))?.[0].length ?? 0,
    normalize(found) {
      found.url = placeOf(found.raw.toUpperCase());
    },
  });
markdown.renderer.rules.link_open = (tokens, n, options, _env, self) => {
  tokens[n]!.attrSet('rel', 'noopener noreferrer nofollow');
  return self.renderToken(tokens, n, options);
};

export const htmlOf = (text: string): string => markdown.render(text);
