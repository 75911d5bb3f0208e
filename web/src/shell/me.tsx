import { useQuery, useQueryClient } from '@tanstack/react-query';
import { may, permissions, type Permission } from '../../../domain/permissions';
import type { MeView } from '../../../domain/schemas';
import { useApi } from '../api';
import { actAs } from '../session';

/** Who is signed in, and what they may do. */
export function useMe(): MeView | undefined {
  const api = useApi();
  return useQuery({ queryKey: ['me'], queryFn: () => api.read<MeView>('/me'), staleTime: 30_000 }).data;
}

/** How something can be done: by oneself, as a sample person of the embedded mode, or not at all. */
export type Stand = { can: true; person: string; as?: string } | { can: false; why: string };

/** @param target left out: anywhere. */
export function standFor(me: MeView | undefined, permission: Permission, target?: string): Stand {
  if (!me) return { can: false, why: 'Reading who you are ...' };
  if (may(me.roles, permission, target)) return { can: true, person: me.person };
  const other = me.canBe.find(({ roles }) => may(roles, permission, target));
  if (other) return { can: true, person: other.person, as: other.person };
  const needs = permissions[permission].roles.join(' or ');
  return {
    can: false,
    why: `This needs ${needs}; you are ${me.person} (${me.roles.join(', ') || 'no role'}).`,
  };
}

/** Says who one is; in the embedded mode a tab can go on as somebody else. */
export function WhoAmI() {
  const me = useMe();
  const queries = useQueryClient();
  if (!me) return <p className="who">...</p>;
  const roles = me.roles.join(', ') || 'no role';
  if (me.canBe.length === 0)
    return (
      <p className="who">
        You are {me.person} ({roles})
      </p>
    );
  return (
    <label className="who">
      You are{' '}
      <select
        value={me.person}
        onChange={(event) => {
          actAs(event.target.value);
          void queries.invalidateQueries();
        }}
      >
        {me.canBe.map(({ person, roles: theirs }) => (
          <option key={person} value={person}>
            {person} ({theirs.join(', ')})
          </option>
        ))}
      </select>
    </label>
  );
}
