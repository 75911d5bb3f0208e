import { resolve } from 'node:path';
import type { Client } from '../client';
import { forTerminal } from '../terminal';
import { watch } from '../watch';

/** Ships, approves and deploys `v1` of the sample in front of the reader, once; then says what to try next. */
export async function deploySample(
  client: Client,
  stateDir: string,
  site: string,
  say: (line: string) => void,
): Promise<void> {
  const at = resolve('.signalbox') === stateDir ? '' : ` --state ${quoted(stateDir)}`;
  const known = (await client.promotions(200)).items.filter(({ target }) => target === 'shop');
  let key = known.find(({ title }) => title === title1)?.key;
  if (known.length === 0) {
    say('The sample: a feature is shipped, approved and deployed.');
    const shipped = await client.ship({ target: 'shop', revision: 'v1', title: title1, submit: true });
    key = shipped.key;
    say(
      `  ${shipped.shippedBy} shipped v1 (commit ${shipped.commit.slice(0, 12)}) as ${key}, change request ${shipped.changeRequest}`,
    );
  }
  if (!key || known.length > 1) return next();
  let promotion = await client.promotion(key);
  // An earlier start may have been stopped anywhere in between; this one goes on from there.
  const unfinished = ['pending', 'approved', 'executing'].includes(promotion.status);
  if (promotion.status === 'pending') {
    const rfc = await client.decide(promotion.changeRequest, { decision: 'approve', comment: 'The sample' });
    say(`  ${rfc.decisions.at(-1)?.approver} approved ${rfc.key}`);
    promotion = await client.promotion(key);
  }
  if (promotion.status === 'approved' && !promotion.current) {
    const started = await client.act('release-manager', key, 'deploy', { reason: 'The sample' });
    say(`  ${started.startedBy} pressed Deploy Now: ${started.key}`);
    promotion = await client.promotion(key);
  }
  if (promotion.current && unfinished)
    await watch(client, promotion.current, (line) => say(`  ${forTerminal(line)}`), {
      log: false,
      until: ({ status }) => status === 'rollback-failed',
    });
  await next();

  async function next(): Promise<void> {
    const answer = await fetch(`${site}/version`, { signal: AbortSignal.timeout(10_000) }).catch(
      () => undefined,
    );
    const shown = (await answer?.text())?.trim();
    const url = `${site}/version`;
    say(shown ? `  ${url} answers: ${shown}` : `  ${url} does not answer.`);
    const number = Math.max(0, ...(await client.promotions(1)).items.map((p) => Number(p.key.slice(3)))) + 1;
    say('');
    say(
      'Try next, in another terminal: ship, approve and deploy a release that is broken, and see it roll back.',
    );
    say(`  npx signalbox ship shop broken${at}`);
    say(`  npx signalbox approve CP-${number}${at}`);
    say(`  npx signalbox deploy CP-${number} --wait${at}`);
    say('');
  }
}

const title1 = 'Open the shop';
const quoted = (path: string) => (/^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`);
