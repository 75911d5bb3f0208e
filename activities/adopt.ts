import { Context } from '@temporalio/activity';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { messageOf } from '../domain/errors';
import { failpoint } from '../domain/failpoint';
import { inWords, isRestorable, releaseOr, type Observed } from '../domain/observed';
import { beginAdoption, endAdoption, findAdoption, foundLive, type Adoption } from '../db/adoptions';
import { whyMayNotNow } from '../db/people';
import { adoptWorkflowId, type AdoptRequest } from '../workflows/messages';
import { beating } from './alive';
import { packCanonical, removeTree, settle } from './archive';
import type { TargetConfig } from '../domain/config';
import { keepArchive, short } from './build';
import type { Deps } from './deps';
import type { Driver } from './drivers/driver';
import type { Heard } from './heard';
import { forged, orderedBy } from './orders';
import { runCommand } from './process';
import { redactor } from './redact';
import { driverOf, targetOf, verdict } from './step';
import { sentences } from '../domain/sentences';

/** Takes what is live on a target into the record, whoever put it there. */
export function createAdoption(deps: Deps, heard: Heard) {
  const { db, log, stateDir } = deps;

  return {
    /** @returns under which number it acts, or why nothing is adopted. */
    async beginAdoption(message: unknown): Promise<Adoption | { refused: string }> {
      const request: AdoptRequest = await heard.verifiedStart('adopt', message);
      const refusal = await whyMayNotNow(db, request.by, 'adopt', request.target);
      return beginAdoption(db, request, refusal?.message);
    },

    /**
     * Makes a release of what is live: packed, unpacked beside the others, and made live in its place. What is one already,
     * or nothing, is only looked at. @returns what is live then.
     */
    async adoptLive(asked: Adoption): Promise<Observed> {
      const adoption = await recorded(asked);
      const live = await beating(() => madeLive(adoption));
      // What is adopted is believed from here alone.
      await foundLive(db, adoption.id, live);
      return live;
    },

    /** @returns in plain words what became of it. */
    async endAdoption(adoption: Adoption, found: Observed | { refused: string }): Promise<string> {
      const { workflowId } = orderedBy();
      const row = await findAdoption(db, adoption.id);
      if (workflowId !== adoptWorkflowId(row?.target ?? adoption.target, adoption.id))
        throw forged(`${workflowId} is not the workflow of this adoption.`);
      const outcome = await endAdoption(db, row ?? adoption, found);
      log.info({ target: adoption.target, adoption: adoption.id }, outcome);
      return outcome;
    },
  };

  async function madeLive({ id, target: name, fence }: Adoption): Promise<Observed> {
    const workspace = join(stateDir, 'work', `adopt-${id}`);
    try {
      const target = targetOf(deps, name);
      const driver = driverOf(deps, target);
      const live = await driver.observe();
      if (!isRestorable(live)) throw verdict('NotAdopted', `${name} runs ${live.what}. ${live.remedy}.`);
      if (live.kind === 'release' && !existsSync(join(target.driver.root, 'releases', live.release)))
        throw verdict(
          'NotAdopted',
          `${name} runs ${inWords(live)}, which is not unpacked below ${target.driver.root}: restore could not bring it back.`,
        );
      if (live.kind === 'release') await demandKept(target, live.release);
      if (live.kind !== 'foreign') return live;
      await removeTree(workspace);
      await mkdir(workspace, { recursive: true });
      // A copy: packing sets modes, and what serves it may write into it.
      const copy = join(workspace, 'live');
      const from = await realpath(join(target.driver.root, 'current'));
      await cp(from, copy, { recursive: true, verbatimSymlinks: true });
      const fresh = join(stateDir, 'artifacts', name, `adopt-${randomUUID()}.new.tar`);
      await mkdir(join(fresh, '..'), { recursive: true });
      const { sha256 } = await packCanonical(copy, fresh).catch(async (thrown: unknown) => {
        await removeTree(fresh);
        throw verdict(
          'NotAdopted',
          sentences(`What ${name} runs cannot become a release: ${messageOf(thrown)}`),
        );
      });
      const archive = join(stateDir, 'artifacts', name, `${sha256}.tar`);
      await settle(fresh, archive);
      await driver.install(sha256, () => Promise.resolve(archive), `adopt-${id}`);
      await failpoint('adopt/middle');
      await makeLive(driver, target, sha256, live, fence, workspace);
      return releaseOr(sha256);
    } finally {
      await removeTree(workspace);
    }
  }

  /** The adoption that is under way for the workflow that orders this, by the record. */
  async function recorded({ id }: Adoption): Promise<Adoption> {
    const row = z.uuid().safeParse(id).success ? await findAdoption(db, id) : undefined;
    const { workflowId } = orderedBy();
    if (row?.outcome === null && workflowId === adoptWorkflowId(row.target, row.id)) return row;
    throw forged(`${workflowId} has no adoption under way, as is recorded.`);
  }

  /** A rollback by hand returns to what was adopted, also once its folder is removed with the old ones. */
  async function demandKept({ name, driver }: TargetConfig, release: string): Promise<void> {
    const folder = join(driver.root, 'releases', release);
    const archives = join(stateDir, 'artifacts', name);
    const archive = join(archives, `${release}.tar`);
    if (await keepArchive(release, folder, archive, join(archives, `adopt-${randomUUID()}.new.tar`))) return;
    const otherwise =
      driver.kind === 'directory'
        ? ', or let "current" lead to a copy of the folder that is not in "releases"'
        : '';
    throw verdict(
      'NotAdopted',
      `${name} runs release ${short(release)}, whose folder ${folder} was changed since it was unpacked, and whose archive is not at ${archive}: nothing could bring it back. Put its archive back there, from the state directory by which it was deployed${otherwise}; then adopt again.`,
    );
  }

  async function makeLive(
    driver: Driver,
    target: TargetConfig,
    release: string,
    live: Observed,
    fence: number,
    workspace: string,
  ): Promise<void> {
    const cwd = target.driver.root;
    const switching = { fence, by: `adopt ${release.slice(0, 12)}`, over: [live] };
    const { result, from } = await driver.switchTo(
      releaseOr(release),
      switching,
      async (what, command, env) => {
        const end = await runCommand({
          argv: [...deps.sandbox.hook(target, cwd), ...command.argv],
          cwd,
          env: { PATH: process.env.PATH ?? '/usr/bin:/bin', LANG: 'C.UTF-8', ...env },
          mark: workspace,
          timeoutMs: command.timeoutSeconds * 1000,
          signal: Context.current().cancellationSignal,
          redact: redactor({}),
          onLine: (stream, text) => log.info({ adopt: what, stream }, text),
          ready: () => undefined,
        });
        if (end.kind !== 'exited' || end.code !== 0)
          throw new Error(`${what} failed: ${command.argv.join(' ')}`);
      },
    );
    if (result === 'refused')
      throw verdict('NotAdopted', 'A deployment began meanwhile; nothing was changed.');
    if (result === 'drifted')
      throw verdict('NotAdopted', `${inWords(from)} is live by now; nothing was changed. Adopt again.`);
  }
}
