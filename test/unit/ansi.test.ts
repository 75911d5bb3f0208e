import { coloured, partsOf, uncoloured } from '../../domain/ansi';

/** What is left of what programs tell a terminal. Written as terminals take it; xterm's own table says which colour is which. */
const esc = '\u001b';

it.each([
  ['plain', [{ text: 'plain' }]],
  [`${esc}[31mred${esc}[0m rest`, [{ text: 'red', hue: 'red' }, { text: ' rest' }]],
  [
    `${esc}[1;32mok${esc}[22m still${esc}[m.`,
    [{ text: 'ok', hue: 'green', bold: true }, { text: ' still', hue: 'green' }, { text: '.' }],
  ],
  [
    `${esc}[91mbright${esc}[39m${esc}[90mfaint`,
    [
      { text: 'bright', hue: 'red' },
      { text: 'faint', hue: 'grey' },
    ],
  ],
  [`${esc}[2mdim${esc}[22mnot`, [{ text: 'dim', hue: 'grey' }, { text: 'not' }]],
  [
    `${esc}[38;5;208morange${esc}[38;2;10;200;30mgreen${esc}[38;5;250;1mwhite`,
    [
      { text: 'orange', hue: 'yellow' },
      { text: 'green', hue: 'green' },
      { text: 'white', bold: true },
    ],
  ],
  [`${esc}[38:2:200:10:220mcolons`, [{ text: 'colons', hue: 'magenta' }]],
  [`${esc}[30mblack${esc}[37;41mwhite on red`, [{ text: 'blackwhite on red' }]],
  // What hides, moves or rings is shown.
  [`${esc}[8mhidden${esc}[2K\u0007`, [{ text: 'hidden\\x1b[2K\\x07' }]],
  [`${esc}[38mbroken${esc}[999mcode`, [{ text: 'brokencode' }]],
  [`${esc}]8;;http://x${esc}\\link`, [{ text: '\\x1b]8;;http://x\\x1b\\link' }]],
  ['', []],
])('%j', (line, parts) => {
  expect(partsOf(line)).toEqual(parts);
  const words = parts.map(({ text }) => text).join('');
  expect(uncoloured(line)).toBe(words);
  // A terminal gets the same look, and nothing but looks.
  expect(partsOf(coloured(line)).filter(({ text }) => text)).toEqual(parts);
  expect(coloured(line).replace(/\u001b\[[0-9;]+m/g, '')).toBe(words);
});
