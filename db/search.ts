import type { Knex } from 'knex';
import type { Db } from './connect';

/**
 * What somebody looks for, in PostgreSQL's words. Each word is found by its beginning or, as English, by its stem; all
 * of them have to be there. "..." is a phrase, -word must not be there, and `or` begins another choice.
 * @returns a tsquery expression, and the values of its placeholders.
 */
export function queryOf(said: string): { text: string; values: string[] } {
  const values: string[] = [];
  const choices: string[][] = [[]];
  const terms = [...said.matchAll(/(-?)(?:"([^"]*)"?|(\S+))/g)];
  for (const [index, [, without, phrase, word]] of terms.entries()) {
    if (word?.toLowerCase() === 'or' && choices.at(-1)!.length > 0 && index < terms.length - 1) {
      choices.push([]);
      continue;
    }
    let term = "phraseto_tsquery('english', ?)";
    if (word === undefined) values.push(phrase!);
    else {
      const begins = "to_tsquery('simple', ?) || plainto_tsquery('english', ?)";
      // "the" is looked for only while it may still become "theme".
      term =
        index === terms.length - 1
          ? begins
          : `CASE numnode(plainto_tsquery('english', ?)) WHEN 0 THEN ''::tsquery ELSE ${begins} END`;
      const beginning = `'${word.replace(/['\\]/g, ' ')}':*`;
      values.push(...(index === terms.length - 1 ? [beginning, word] : [word, beginning, word]));
    }
    choices.at(-1)!.push(`${without && '!! '}(${term})`);
  }
  return { text: choices.map((all) => `(${all.join(' && ') || "''::tsquery"})`).join(' || '), values };
}

/** Numbers of the promotions, and so of their change requests, in which it is found. */
export function changesWith(db: Db, said: string): Knex.QueryBuilder {
  const { text, values } = queryOf(said);
  return db('change_words').select('id').whereRaw(`words @@ (${text})`, values);
}
