import { programRoles, roles, type AnyRole } from './machines';

/**
 * Who may do what: the one table that the API enforces at every route and the workflows' activities again where the
 * effect happens, that the page derives its buttons from, and that the documents quote. What is not in it, nobody may.
 *
 * `on: 'target'` means that a grant may be limited to one target: `release-manager:shop`.
 */
interface Row {
  roles: readonly AnyRole[];
  on: 'target' | 'everything';
  title: string;
}
export const permissions = {
  read: { roles, on: 'everything', title: 'Read everything, follow deployments live' },
  backlog: {
    roles: ['contributor'],
    on: 'everything',
    title: 'Keep the backlog: items, epics, their order, blockers; import',
  },
  'wip-limits': { roles: ['admin'], on: 'everything', title: 'Limit the work in progress' },
  ship: { roles: ['contributor'], on: 'target', title: 'Ship a revision' },
  submit: {
    roles: ['contributor', 'release-manager'],
    on: 'target',
    title: 'Submit a change request for approval',
  },
  'edit-change': {
    roles: ['contributor', 'release-manager'],
    on: 'target',
    title: 'Change what a request says, revise a rejected one',
  },
  decide: { roles: ['approver'], on: 'target', title: 'Approve, reject or review a change request' },
  deploy: { roles: ['release-manager'], on: 'target', title: 'Deploy Now, and retry after a rollback' },
  rollback: { roles: ['release-manager'], on: 'target', title: 'Roll a deployed promotion back by hand' },
  windows: {
    roles: ['release-manager'],
    on: 'target',
    title: 'Keep windows and freezes; override one, second an override',
  },
  withdraw: {
    roles: ['contributor', 'release-manager'],
    on: 'target',
    title: 'Withdraw a promotion, cancel its change request',
  },
  cancel: { roles: ['release-manager', 'sre'], on: 'target', title: 'Cancel a deployment' },
  resolve: { roles: ['sre'], on: 'target', title: 'Resolve a failed rollback' },
  adopt: { roles: ['sre'], on: 'target', title: 'Take what is live on a target into the record' },
  'resend-notifications': {
    roles: ['sre', 'admin'],
    on: 'everything',
    title: 'Send a notification again that could not be delivered',
  },
  'manage-access': {
    roles: ['admin'],
    on: 'everything',
    title: 'Make and revoke tokens, disable and enable people',
  },
  'run-steps': {
    roles: ['runner'],
    on: 'target',
    title: "Do a target's steps on its own host, and record them",
  },
} as const satisfies Record<string, Row>;
export type Permission = keyof typeof permissions;

/** `sre` everywhere, or `sre:shop` on the target shop. */
export type Grant = string;
const grantForm = /^([a-z-]+)(?::([a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?))?$/;

/** A grant's role and the target it is limited to; undefined for what is no grant. */
export function parseGrant(grant: Grant): { role: AnyRole; target?: string } | undefined {
  const [, role, target] = grantForm.exec(grant) ?? [];
  const known: readonly string[] = target ? [...roles, ...programRoles] : roles;
  if (role === undefined || !known.includes(role)) return undefined;
  return { role: role as AnyRole, ...(target ? { target } : {}) };
}

/**
 * Whether these grants allow it.
 * @param target the target it is done on; left out: whether they allow it anywhere.
 */
export function may(grants: readonly Grant[], permission: Permission, target?: string): boolean {
  const { roles: allowed, on } = permissions[permission] as Row;
  return grants.some((grant) => {
    const held = parseGrant(grant);
    if (!held || !allowed.includes(held.role)) return false;
    // Reading is not limited: whoever holds a role anywhere sees everything.
    if (held.target === undefined || permission === 'read') return true;
    return on === 'target' && (target === undefined || held.target === target);
  });
}

/** What these grants allow, each with the targets it is limited to; null: everywhere. */
export function permissionsOf(grants: readonly Grant[]): Partial<Record<Permission, string[] | null>> {
  const found: Partial<Record<Permission, string[] | null>> = {};
  for (const permission of Object.keys(permissions) as Permission[]) {
    const held = grants.filter((grant) => may([grant], permission)).map((grant) => parseGrant(grant)!.target);
    if (held.length === 0) continue;
    const everywhere = permission === 'read' || held.includes(undefined);
    found[permission] = everywhere ? null : held.map((target) => target!);
  }
  return found;
}

/** The grants of which one is needed, for SQL that looks for their holders. */
export const grantsFor = (permission: Permission, target: string): Grant[] =>
  (permissions[permission] as Row).roles.flatMap((role) => [role, `${role}:${target}`]);

/** Why this person may not, and who may; for the one who was refused. */
export function whyMayNot(person: string, grants: readonly Grant[], permission: Permission, target?: string) {
  const needs = (permissions[permission] as Row).roles;
  const where = target && may(grants, permission) ? ` for ${target}` : '';
  return {
    code: 'role-required' as const,
    message: `${person} is ${grants.join(', ') || 'without a role'}; this needs ${needs.join(' or ')}${where}.`,
    needs,
  };
}
