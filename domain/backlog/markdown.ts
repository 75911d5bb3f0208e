import MarkdownIt from 'markdown-it';

/**
 * Markdown as HTML that is safe to show: HTML in the text stays text, links lead to the web or to mail alone, and
 * nothing is loaded from elsewhere.
 */
const markdown = new MarkdownIt({ html: false, linkify: true }).disable('image');
markdown.validateLink = (url) => /^(https?:|mailto:|\/(?!\/)|#)/i.test(url.trim());
markdown.renderer.rules.link_open = (tokens, n, options, _env, self) => {
  tokens[n]!.attrSet('rel', 'noopener noreferrer nofollow');
  return self.renderToken(tokens, n, options);
};

export const htmlOf = (text: string): string => markdown.render(text);
