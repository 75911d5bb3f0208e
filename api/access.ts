import { badInput, notFound, SignalboxError } from '../domain/errors';
import {
  linkBody,
  listQuery,
  newTokenBody,
  newTokenView,
  personView,
  reasonBody,
  tokenView,
} from '../domain/schemas';
import { databaseNow } from '../db/clock';
import { findPerson, linkPerson, listPeople, setDisabled, type PersonRow } from '../db/people';
import type { Voided } from '../db/approvals';
import { mintToken, revokeToken, type TokenRow } from '../db/tokens';
import { tellMoved } from './change-requests';
import type { ApiDeps } from './deps';
import { page, pageView, whole } from './page';
import { route, type Route } from './route';

/** Tokens and people: who has access. A change counts at the next request, and voids approvals that rested on it. */
export function accessRoutes(deps: ApiDeps, accessChanged: () => void): Route[] {
  const { db } = deps;
  const disabling = (disabled: boolean) =>
    route({
      method: 'post',
      path: `/people/:name/${disabled ? 'disable' : 'enable'}`,
      summary: disabled
        ? 'Shut a person out: their tokens and sessions stop working at once'
        : 'Let a person in again',
      permission: 'manage-access',
      body: reasonBody,
      answers: { status: 200, schema: personView },
      async handle({ params, person, request, body, write }) {
        if (disabled && params.name === person)
          throw new SignalboxError('own-access', 'Nobody shuts themselves out; let another admin do it.');
        const move = {
          by: person,
          why: body.reason ?? `${params.name} was ${disabled ? 'disabled' : 'enabled'}`,
          request,
        };
        let voided: Voided[] = [];
        const answer = await write(async (tx) => {
          const found = await setDisabled(tx, params.name!, disabled, move);
          if (found === false) throw notFound(`person ${params.name!.slice(0, 80)}`);
          voided = found;
          return { body: viewPerson((await findPerson(tx, params.name!))!) };
        });
        accessChanged();
        for (const lapsed of voided) await tellMoved(deps, lapsed);
        return answer;
      },
    });
  return [
    route({
      method: 'get',
      path: '/tokens',
      summary: 'API tokens, newest first; never their values',
      permission: 'manage-access',
      query: listQuery,
      answers: { status: 200, schema: pageView(tokenView) },
      handle: async ({ query }) => ({
        body: await page(db, db('tokens'), 'id', query, (rows: TokenRow[]) =>
          Promise.resolve(rows.map(viewToken)),
        ),
      }),
    }),
    route({
      method: 'post',
      path: '/tokens',
      summary: 'Make an API token; its value is in this answer and nowhere else',
      permission: 'manage-access',
      body: newTokenBody,
      secret: true,
      answers: { status: 201, schema: newTokenView },
      async handle({ body, person, request, write }) {
        const expiresAt = body.expiresAt === null ? undefined : new Date(body.expiresAt);
        if (expiresAt && expiresAt.getTime() <= (await databaseNow(db)))
          throw badInput(
            'expiresAt has passed already; say a time to come, or null for a token that does not run out.',
          );
        const token = {
          person: body.person,
          grants: body.roles,
          label: body.label,
          mintedBy: person,
          expiresAt,
        };
        return write(async (tx) => {
          const made = (await mintToken(tx, token, { by: person, why: body.label, request }))!;
          const row = (await tx('tokens').where({ id: made.id }).first()) as TokenRow;
          return { body: { ...viewToken(row), token: made.value } };
        });
      },
    }),
    route({
      method: 'delete',
      path: '/tokens/:id',
      summary: 'Revoke a token: it stops working at once',
      permission: 'manage-access',
      body: reasonBody,
      answers: { status: 200, schema: tokenView },
      async handle({ params, person, request, body, write }) {
        const id = /^[1-9][0-9]{0,8}$/.test(params.id!) ? Number(params.id) : 0;
        const row = (await db('tokens').where({ id }).first()) as TokenRow | undefined;
        if (!row) throw notFound(`token ${params.id!.slice(0, 80)}`);
        const move = { by: person, why: body.reason ?? `token ${id} of ${row.person} was revoked`, request };
        let voided: Voided[] = [];
        const answer = await write(async (tx) => {
          voided = (await revokeToken(tx, id, move)) ?? [];
          return { body: viewToken((await tx('tokens').where({ id }).first()) as TokenRow) };
        });
        accessChanged();
        for (const lapsed of voided) await tellMoved(deps, lapsed);
        return answer;
      },
    }),
    route({
      method: 'get',
      path: '/people',
      summary: 'People that are known, and what they hold beside their tokens',
      permission: 'manage-access',
      answers: { status: 200, schema: pageView(personView) },
      handle: async () => ({ body: whole((await listPeople(db)).map(viewPerson)) }),
    }),
    disabling(true),
    disabling(false),
    route({
      method: 'post',
      path: '/people/:name/link',
      summary: 'Say by which account of the sign-in service a person comes in; their sessions end',
      permission: 'manage-access',
      body: linkBody,
      answers: { status: 200, schema: personView },
      async handle({ params, person, request, body, write }) {
        const name = params.name!;
        const move = { by: person, why: body.reason ?? `${name} signs in as ${body.subject}`, request };
        const answer = await write(async (tx) => {
          const taken = await linkPerson(tx, name, body.subject, move);
          if (taken === false) throw notFound(`person ${name.slice(0, 80)}`);
          if (taken) throw badInput(`That account is ${taken}'s already; one account is one person.`);
          return { body: viewPerson((await findPerson(tx, name))!) };
        });
        accessChanged();
        return answer;
      },
    }),
  ];
}

const iso = (date: Date | null) => date?.toISOString() ?? null;
const viewToken = (row: TokenRow) => ({
  id: row.id,
  person: row.person,
  roles: row.roles,
  label: row.label,
  mintedBy: row.minted_by,
  createdAt: row.created_at.toISOString(),
  expiresAt: iso(row.expires_at),
  revokedAt: iso(row.revoked_at),
  lastUsedAt: iso(row.last_used_at),
});
const viewPerson = (row: PersonRow) => ({
  name: row.name,
  roles: row.grants,
  disabledAt: iso(row.disabled_at),
});
