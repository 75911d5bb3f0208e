/** The text with an end, so that another sentence may follow it. */
export const sentence = (text: string): string => (/[.!?…]$/.test(text) ? text : `${text}.`);
