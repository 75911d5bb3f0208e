/** Each safeguard, how it is removed from a copy of the sources, and what has to notice. */
export type Killer =
  | { cell: string; seed?: number }
  | { test: string; named?: string; /** It runs the compiled program. */ built?: true };
export interface Mutant {
  name: string;
  /** What is missing then. */
  without: string;
  file: string;
  /** Text that stands there once, and what it becomes. */
  from: string;
  to: string;
  killer: Killer;
}

export const mutants: Mutant[] = [
  {
    name: 'observe-before',
    without: 'writing down what was live before it acted',
    file: 'activities/swap.ts',
    from: "const before = await context.observed('before', looked);",
    to: 'const before = looked;',
    killer: { test: 'test/workflows/observed', named: 'an older release that was put back by hand' },
  },
  {
    name: 'compare-under-lock',
    without: 'comparing what is live with what was observed before it is switched',
    file: 'activities/drivers/switch-current.js',
    from: '!over.some((live) => isSame(from, live))',
    to: '!over.some(() => true)',
    killer: { cell: 'besides/drifted-before-it-was-recorded' },
  },
  {
    name: 'undo-order',
    without: 'restoring data before the old release starts',
    file: 'workflows/saga.ts',
    from: "return ['undoSwap', 'undoMigrate', 'takeOut'];",
    to: "return ['undoMigrate', 'undoSwap'];",
    killer: { cell: 'besides/old-release-cannot-live-with-the-migration' },
  },
  {
    name: 'non-cancellable-scope',
    without: 'undoing in a scope that no cancel reaches',
    file: 'workflows/saga.ts',
    from: 'return await CancellationScope.nonCancellable(() => unwind(plan, undos, why, 1));',
    to: 'return await unwind(plan, undos, why, 1);',
    killer: { test: 'test/workflows/sweep', named: 'swap is cancelled from Temporal after its effect' },
  },
  {
    name: 'cancellation-type',
    without: 'waiting for a cancelled step before it is undone',
    file: 'workflows/activities.ts',
    from: `    heartbeatTimeout,
    retry,
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
  });

/** Undo has`,
    to: `    heartbeatTimeout,
    retry,
    cancellationType: ActivityCancellationType.TRY_CANCEL,
  });

/** Undo has`,
    killer: { test: 'test/workflows/sweep', named: 'an undo waits for a step' },
  },
  {
    name: 'undo-before-step',
    without: 'registering the undo before the swap',
    file: 'workflows/deploy-promotion.ts',
    from: `        undo(...undosOf(plan, ['swap']));
        await whenOpen((round) =>
          step('Swap: make the new release current', plan.limits.swapMs).swap({ ...input, round }),
        );
`,
    to: `        await whenOpen((round) =>
          step('Swap: make the new release current', plan.limits.swapMs).swap({ ...input, round }),
        );
        undo(...undosOf(plan, ['swap']));
`,
    killer: { test: 'test/workflows/sweep', named: 'swap fails after its effect' },
  },
  {
    name: 'fence',
    without: 'refusing a swap with a lower fencing number',
    file: 'activities/drivers/switch-current.js',
    from: 'if (fence < highest)',
    to: 'if (fence < 0)',
    killer: { cell: 'swap/middle/worker/stop' },
  },
  {
    name: 'fence-of-commands',
    without: 'refusing a migration with a lower fencing number',
    file: 'activities/drivers/run-fenced.js',
    from: 'if (fence < held.fence) {',
    to: 'if (fence < 0) {',
    killer: { test: 'test/activities/fenced' },
  },
  {
    name: 'lease-of-the-end',
    without: 'refusing the record of a try that lost its step',
    file: 'db/journal.ts',
    from: 'if (!(await finishStep(tx, t, to, detail))) throw new Lost();',
    to: 'await finishStep(tx, t, to, detail);',
    killer: { test: 'test/workflows/lease' },
  },
  {
    name: 'unique-index',
    without: 'the index that allows one open attempt',
    file: 'db/migrations/001-deploy-now.ts',
    from: 'CREATE UNIQUE INDEX one_open_attempt',
    to: 'CREATE INDEX one_open_attempt',
    killer: { test: 'test/db/deployments', named: 'cannot make a second open attempt' },
  },
  {
    name: 'status-guard',
    without: 'the legal predecessors in a change of status',
    file: 'db/transition.ts',
    from: "    .whereIn('status', predecessorsOf(machine, to))\n",
    to: "    .whereNotNull('status')\n    .modify(() => void predecessorsOf(machine, to))\n",
    killer: { test: 'test/db/deployments', named: 'status' },
  },
  {
    name: 'rename',
    without: 'replacing the link in one step',
    file: 'activities/drivers/switch-current.js',
    from: 'fs.renameSync(fresh, current);',
    to: 'fs.rmSync(current, { force: true }); fs.renameSync(fresh, current);',
    killer: { test: 'test/activities/driver', named: 'no step of a switch leaves it without a release' },
  },
  {
    name: 'lane',
    without: 'waiting behind the deployment that holds the lane',
    file: 'db/admission.ts',
    from: 'if (front.length > 0) {',
    to: 'if (front.length > 1_000_000) {',
    killer: { test: 'test/db/deployments', named: 'the lane' },
  },
  {
    name: 'redaction',
    without: 'taking secrets out of the log',
    file: 'activities/redact.ts',
    from: 'const redact = (text: string): string => without(text, found(text));',
    to: 'const redact = (text: string): string => text;',
    killer: { test: 'test/unit/redact' },
  },
  {
    name: 'signature',
    without: "verifying the API's signature",
    file: 'temporal-config/signing.ts',
    from: 'return given.length === right.length && timingSafeEqual(given, right)',
    to: 'return given.length >= 0 || timingSafeEqual(given, right)',
    killer: { test: 'test/unit/signing' },
  },
  {
    name: 'idle-transactions',
    without: 'ending the transaction of a process that was stopped in it',
    file: 'db/connect.ts',
    from: 'idle_in_transaction_session_timeout: 10_000,',
    to: 'idle_in_transaction_session_timeout: 0,',
    killer: { cell: 'admit/middle/worker/stop', seed: 1 },
  },
  {
    name: 'stood-still',
    without: 'not counting the time in which health could not be asked',
    file: 'activities/health-check.ts',
    from: 'if (stoodStill > 0) deadline += stoodStill;',
    to: 'if (stoodStill > 0) deadline += 0;',
    killer: { cell: 'health-check/middle/api/stop' },
  },
  {
    name: 'reaping',
    without: 'killing what a build left running',
    file: 'activities/process.ts',
    from: '    await reap(command.mark);\n',
    to: '',
    killer: { cell: 'besides/build-double-forks' },
  },
  {
    name: 'verified-backup',
    without: 'reading a backup again before it is restored',
    file: 'activities/backup.ts',
    from: `  if (!backup || !(await kind.isWhole(backup.reference, backup)))
    throw verdict(`,
    to: `  if (!backup || ((await kind.isWhole(backup.reference, backup)) as unknown) === '')
    throw verdict(`,
    killer: { cell: 'besides/backup-of-another-deployment' },
  },
  {
    name: 'names-with-an-at',
    without: 'packing a name that begins with @ as a name',
    file: 'activities/archive.ts',
    from: "name.startsWith('@') ? `./${name}` : name",
    to: 'name',
    killer: { test: 'test/activities/archive', named: 'a name that begins with @' },
  },
  {
    name: 'release-checked',
    without: 'comparing a release on disk with its digest before it becomes current again',
    file: 'activities/drivers/releases.ts',
    from: 'if (there && (await isRelease(folder, release))) {',
    to: 'if (there) {',
    killer: { test: 'test/activities/driver', named: 'changed on disk' },
  },
  {
    name: 'backup-compared',
    without: 'comparing what a backup unpacks to with what was packed, entry by entry',
    file: 'activities/backups/files.ts',
    from: '.filter((name) => packed.get(name) !== back.get(name))',
    to: '.filter((name) => packed.has(name) !== back.has(name))',
    killer: { test: 'test/activities/files-backup', named: 'notices content of equal size' },
  },
  {
    name: 'restorable-by-its-login',
    without: 'asking what a login could not put back before its database is backed up',
    file: 'activities/backups/postgres.ts',
    from: 'if (refused.length > 0)',
    to: 'if (refused.length > 1_000)',
    killer: { test: 'test/activities/postgres-backup', named: 'an extension of a superuser' },
  },
  {
    name: 'leftovers-of-backups',
    without: 'removing what earlier tries of a backup left',
    file: 'activities/backup.ts',
    from: '      await removeEarlier(context, before?.reference);\n',
    to: '      void removeEarlier;\n',
    killer: { cell: 'besides/backup-killed-in-its-proof' },
  },
  {
    name: 'reconcile',
    without: 'looking for workflows that were lost',
    file: 'activities/reconcile.ts',
    from: 'const why = now.lost;\n',
    to: "const why = row.owner === '' ? now.lost : undefined;\n",
    killer: { test: 'test/workflows/recover', named: 'terminated in build' },
  },
  {
    name: 'reset-is-no-zombie',
    without: 'telling a try whose count was reset from a late one',
    file: 'activities/step.ts',
    from: 'scheduled: info.currentAttemptScheduledTimestampMs,',
    to: 'scheduled: info.currentAttemptScheduledTimestampMs * 0 + 1,',
    killer: { test: 'test/workflows/lease', named: 'a late try with the number' },
  },
  {
    name: 'paused-is-alive',
    without: 'telling a paused workflow from a lost one',
    file: 'activities/lost.ts',
    from: "name === 'RUNNING' || name === 'PAUSED' ||",
    to: "name === 'RUNNING' ||",
    killer: { test: 'test/workflows/alive', named: 'a paused workflow' },
  },
  {
    name: 'last-run-of-its-chain',
    without: 'following a workflow to the last run of its chain',
    file: 'activities/lost.ts',
    from: 'const now = known && latest && chainOf(known) === chainOf(latest) ? latest : known;',
    to: 'const now = known && latest && chainOf(known) === latest.runId ? latest : known;',
    killer: { test: 'test/workflows/alive', named: 'a run that continued' },
  },
  {
    name: 'verified-rollback',
    without: 'checking what a rollback restored',
    file: 'workflows/saga.ts',
    from: "if (undos.includes('undoSwap')) order.push('verifyRollback');",
    to: '',
    killer: { test: 'test/workflows/undo' },
  },
  {
    name: 'ignored-moves',
    without: 'refusing a change of status that another one made impossible',
    file: 'db/transition.ts',
    from: '  throw new NotMoved(',
    to: '  void new NotMoved(',
    killer: { test: 'test/db/deployments', named: 'a move that is not legal' },
  },
  {
    name: 'lease-asked-again',
    without: 'asking again whether a try has its step before it kills what older ones left',
    file: 'activities/step.ts',
    from: '        attempt = await begin();\n',
    to: '',
    killer: { test: 'test/workflows/zombies', named: 'when it had opened its step' },
  },
  {
    name: 'only-older-tries',
    without: 'killing only what was there before the try opened its step',
    file: 'activities/step.ts',
    from: 'for (const folder of older.map((entry) => join(workplace, entry))) {',
    to: 'for (const folder of [workplace]) {',
    killer: { test: 'test/workflows/zombies', named: 'asked a last time' },
  },
  {
    name: 'asked-at-lane',
    without: 'asking the rules again of what has waited',
    file: 'db/admission.ts',
    from: `  if (no) {
    await sendBack(`,
    to: `  if (no && row.id < 0) {
    await sendBack(`,
    killer: { test: 'test/api/rules', named: 'the target was switched off before lane' },
  },
  {
    name: 'asked-at-migrate',
    without: 'asking the rules before the migration',
    file: 'db/journal.ts',
    from: 'const no = whyNotNow(asked, deps.targets().get(row.target), what);',
    to: "const no = what === 'swap' ? whyNotNow(asked, deps.targets().get(row.target), what) : undefined;",
    killer: { test: 'test/api/rules', named: 'its approver was disabled before migrate' },
  },
  {
    name: 'stall-limit-of-git',
    without: 'giving up a git on which nothing moves',
    file: 'activities/git-command.ts',
    from: 'const stalled = performance.now() - movedAt >= stallMs;',
    to: 'const stalled = performance.now() < 0;',
    killer: { test: 'test/activities/silent-git', named: 'a silent remote is given up' },
  },
  {
    name: 'round-trip-of-listen',
    without: 'replacing a connection that follows and does not hear itself',
    file: 'db/changes.ts',
    from: 'if (now - heardAt > pulseMs + answerMs) return again();',
    to: '',
    killer: { test: 'test/db/half-open', named: 'is replaced when it alone' },
  },
  {
    name: 'half-open-connection',
    without: 'closing a connection on which the server does not work',
    file: 'db/half-open.ts',
    from: "if (standing === 'gone' && silent && state.silentSince !== undefined) bury(connection);",
    to: 'if (silent && bury.length > 9) bury(connection);',
    killer: { test: 'test/db/half-open', named: 'that is dead costs' },
  },
  {
    name: 'ship-outside-of-the-transaction',
    without: 'reading the repository before the transaction that ships',
    file: 'api/promotions.ts',
    from: 'await commitOf(deps, config, revision, call.since)',
    to: "await db.transaction(async (tx) => { await tx.raw('SELECT 1'); return commitOf(deps, config, revision, call.since); })",
    killer: { test: 'test/api/long-mirror', named: 'answers 202' },
  },
  {
    name: 'one-request-for-a-key',
    without: 'waiting for the request that works under the same key',
    file: 'api/route.ts',
    from: 'known.status !== null || known.holder === holder ||',
    to: 'known.status !== null || known.holder !== undefined ||',
    killer: { test: 'test/api/once', named: 'every other write too' },
  },
];
