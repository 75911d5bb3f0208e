import { existsSync, readFileSync } from 'node:fs';
import { roles, type Role } from '../../domain/machines';
import {
  grantsFor,
  may,
  parseGrant,
  permissions,
  permissionsOf,
  type Permission,
} from '../../domain/permissions';

/** Written by hand, once more: who may. */
const table: Record<Permission, Role[]> = {
  read: ['contributor', 'approver', 'release-manager', 'sre', 'admin'],
  backlog: ['contributor'],
  'wip-limits': ['admin'],
  ship: ['contributor'],
  submit: ['contributor', 'release-manager'],
  'edit-change': ['contributor', 'release-manager'],
  decide: ['approver'],
  deploy: ['release-manager'],
  rollback: ['release-manager'],
  windows: ['release-manager'],
  withdraw: ['contributor', 'release-manager'],
  cancel: ['release-manager', 'sre'],
  resolve: ['sre'],
  adopt: ['sre'],
  'resend-notifications': ['sre', 'admin'],
  'manage-access': ['admin'],
  // Programs alone.
  'run-steps': [],
};
const everything = Object.keys(table) as Permission[];

it('names the same permissions', () => expect(Object.keys(permissions).sort()).toEqual(everything.sort()));

it.each(everything.flatMap((permission) => roles.map((role) => [permission, role] as const)))(
  '%s by %s, everywhere, on one target, on another',
  (permission, role) => {
    const yes = table[permission].includes(role);
    const onTargets = !['manage-access', 'resend-notifications', 'backlog', 'wip-limits'].includes(
      permission,
    );
    expect(may([role], permission)).toBe(yes);
    expect(may([role], permission, 'shop')).toBe(yes);
    expect(may([`${role}:shop`], permission)).toBe(yes && onTargets);
    expect(may([`${role}:shop`], permission, 'shop')).toBe(yes && onTargets);
    expect(may([`${role}:shop`], permission, 'kiosk')).toBe(yes && permission === 'read');
    expect(may([], permission)).toBe(false);
    if (onTargets && !['read', 'run-steps'].includes(permission))
      for (const grant of grantsFor(permission, 'shop')) expect(may([grant], permission, 'shop')).toBe(true);
  },
);

it.each([
  '',
  'boss',
  'sre:',
  'sre:Shop',
  'sre:a/b',
  'sre:shop:x',
  ' sre',
  'SRE',
  'sre:-a',
  '__proto__',
  'constructor',
])('%j is no grant, and allows nothing', (grant) => {
  expect(parseGrant(grant)).toBeUndefined();
  for (const permission of everything) expect(may([grant], permission, 'shop')).toBe(false);
});

it('tells what grants allow and where', () => {
  expect(permissionsOf(['sre:shop', 'sre:kiosk', 'contributor'])).toEqual({
    read: null,
    backlog: null,
    ship: null,
    submit: null,
    'edit-change': null,
    withdraw: null,
    cancel: ['shop', 'kiosk'],
    resolve: ['shop', 'kiosk'],
    adopt: ['shop', 'kiosk'],
  });
  expect(permissionsOf([])).toEqual({});
});

describe('docs/security.md', () => {
  const text = readFileSync('docs/security.md', 'utf8');
  it('says what the table says', () => {
    const rows = [...text.matchAll(/^\| `([\w-]+)` +\| (.*?) +\| (.*?) +\| (.*?) +\|$/gm)];
    const said = rows.map(([, permission, title, who, where]) => [permission, title, who, where]);
    expect(said).toEqual(
      Object.entries(permissions).map(([permission, row]) => [
        permission,
        row.title,
        row.roles.join(', '),
        row.on === 'target' ? 'target' : 'everything',
      ]),
    );
  });
  it('names tests that are there', () => {
    const named = [...text.matchAll(/`(test\/[\w/.-]+)`/g)].map(([, file]) => file!);
    expect(named.length).toBeGreaterThan(30);
    expect(named.filter((file) => !existsSync(file))).toEqual([]);
  });
});

it('a runner may do the steps of its own target, and nothing else', () => {
  for (const permission of everything) {
    expect(may(['runner:shop'], permission)).toBe(permission === 'run-steps');
    expect(may(['runner:shop'], permission, 'shop')).toBe(permission === 'run-steps');
    expect(may(['runner:shop'], permission, 'other')).toBe(false);
  }
  // One of every target there is not.
  expect(parseGrant('runner')).toBeUndefined();
  expect(may(['runner'], 'run-steps', 'shop')).toBe(false);
});
