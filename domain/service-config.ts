import { z } from 'zod';
import { roles } from './machines';
import { notificationEvents } from './notifications';
import { parseGrant } from './permissions';
import { strict } from './strict';

/**
 * The parts of the operator's file that are about Signalbox itself: where it is reached, who signs in and how, where
 * the audit trail's head goes. Read at the start; a change counts after a restart.
 */
const text = (what: string) => z.string(`allowed: ${what}`).min(1, `allowed: ${what}`);

/** A value that stands elsewhere: read when it is needed, never stored. */
export const reference = z.union(
  [strict({ env: text('a variable') }), strict({ file: text('a path') })],
  'allowed: {env: NAME} or {file: PATH}',
);

const isLoopback = (host: string) => /^(127(\.\d+){3}|localhost|\[?::1\]?)$/.test(host);
const url = (what: string, insecure: (url: URL) => boolean) =>
  z
    .url(`allowed: ${what}`)
    .refine((value) => new URL(value).protocol === 'https:' || insecure(new URL(value)), {
      error: `allowed: ${what}, by https`,
    });

const api = strict({
  /** How people and programs reach it. */
  publicUrl: url('a URL such as https://signalbox.example.com', (u) => isLoopback(u.hostname)).optional(),
  listen: text('an address such as 0.0.0.0').default('127.0.0.1'),
  /** Signalbox ends TLS itself; left out: it listens on plain HTTP, for a proxy on the same host that ends it. */
  tls: strict({ cert: text('a path'), key: text('a path') }).optional(),
}).prefault({});

const oidc = strict({
  /** Exactly what the provider says it is. */
  issuer: url('the issuer of an OpenID provider', (u) => isLoopback(u.hostname)),
  clientId: text('the id under which Signalbox is registered there'),
  clientSecret: reference.optional(),
  /** The one algorithm by which an ID token may be signed. */
  algorithm: z
    .enum(['RS256', 'PS256', 'ES256', 'Ed25519'], 'allowed: RS256, PS256, ES256 or Ed25519')
    .default('RS256'),
  scopes: z.array(text('a scope'), 'allowed: a list of scopes').default(['openid', 'profile']),
  nameClaim: text('a claim').default('preferred_username'),
  groupsClaim: text('a claim').default('groups'),
  /** What the members of each group hold. */
  roles: z.record(
    z.string(),
    z.array(
      z.string().refine((grant) => parseGrant(grant) !== undefined, {
        error: `allowed: a role (${roles.join(', ')}), or a role on one target such as sre:shop`,
      }),
    ),
    'allowed: a list of roles for each group',
  ),
  sessionHours: z.number('allowed: hours, more than 0 and at most 168').positive().max(168).default(12),
});
const identity = strict({ oidc }).optional();

const audit = strict({
  /** Where the head of the chain is written; left out: a file in the state directory. */
  exportFile: text('a path').optional(),
  exportWebhook: url('a URL', (u) => isLoopback(u.hostname)).optional(),
  everySeconds: z.number('allowed: seconds from 1 to 86400').min(1).max(86_400).default(60),
}).prefault({});

/** Who is in which group of approvers, besides what the OpenID provider says. */
const groups = z
  .record(text('a name'), z.array(text('a person'), 'allowed: a list of people'), 'allowed: people by group')
  .default({});

const webhook = strict({
  name: z
    .string('allowed: a name')
    .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'allowed: lower-case letters, digits and dashes'),
  url: url('a URL', (u) => isLoopback(u.hostname)),
  /** Signs what is sent (Standard Webhooks): `whsec_` and base64 of 24 to 64 bytes. */
  secret: reference,
  /** Left out: all. */
  events: z
    .array(
      z.enum(notificationEvents, `allowed: ${notificationEvents.join(', ')}`),
      'allowed: a list of events',
    )
    .optional(),
});
const notifications = strict({
  webhooks: z.array(webhook, 'allowed: a list of webhooks').default([]),
  timeoutSeconds: z.number('allowed: seconds from 0.1 to 60').min(0.1).max(60).default(15),
  /** A refused or failed delivery is tried again after so long, then after four times as long, up to six hours. */
  retrySeconds: z.number('allowed: seconds, more than 0 and at most 3600').positive().max(3600).default(5),
  /** After so long it is undeliverable, and can be sent again by hand. */
  giveUpHours: z
    .number('allowed: hours')
    .positive('allowed: more than 0')
    .max(24 * 14)
    .default(72),
}).prefault({});

const days = (least: number) =>
  z.number(`allowed: a whole number of days from ${least} to 36500`).int().min(least).max(36_500);
/** How long what a deployment leaves behind is kept after its end; left out: for ever. The record itself stays. */
const retention = strict({
  /** Logs are removed together with those of the 250 deployments around them, when all of them are so old. */
  logDays: days(30).optional(),
  historyDays: days(1).optional(),
}).prefault({});

export const service = { api, identity, audit, groups, notifications, retention };
export interface Service {
  groups: z.infer<typeof groups>;
  notifications: z.infer<typeof notifications>;
  api: z.infer<typeof api>;
  identity?: z.infer<typeof identity>;
  audit: z.infer<typeof audit>;
  retention: z.infer<typeof retention>;
}
export type OidcConfig = z.infer<typeof oidc>;
export type NotificationsConfig = Service['notifications'];
export type Reference = z.infer<typeof reference>;
/** The file in which a secret lies; none when it is in a variable. */
export const fileOf = (of: Reference | undefined): string[] => (of && 'file' in of ? [of.file] : []);

/** What is wrong with the parts together; undefined when they fit. */
export function whyUnfit({ api: a, identity: i, notifications: n }: Service): string | undefined {
  if (i && !a.publicUrl?.startsWith('https://'))
    return 'identity.oidc needs api.publicUrl with https: its sessions only travel over HTTPS.';
  if (!isLoopback(a.listen) && !i)
    return `api.listen is ${a.listen}, which others can reach; that needs identity.oidc. Without it Signalbox listens on loopback only.`;
  if (!isLoopback(a.listen) && !a.tls)
    return `api.listen is ${a.listen}, which others can reach; that needs api.tls. For a proxy on the same host let it listen on 127.0.0.1.`;
  const names = n.webhooks.map(({ name }) => name);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice) return `notifications.webhooks has two that are named ${twice}; each needs a name of its own.`;
  return undefined;
}
