import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Request, Response, Router } from 'express';
import type { z } from 'zod';
import { badInput, SignalboxError } from '../domain/errors';
import { whyUnfit } from '../domain/input';
import { may, permissions, whyMayNot, type Permission } from '../domain/permissions';
import { sentences } from '../domain/sentences';
import { problemText, problemsOf } from '../domain/strict';
import { etagOf, versionIn } from './etag';
import type { Db, Tx } from '../db/connect';
import { claim, release, remember, renew, renewEveryMs, type Remembered } from '../db/idempotency';
import type { Person } from '../db/people';

/**
 * A route is data: the API registers it, the OpenAPI document describes it, and tests walk it, all from the
 * same list. Handlers get what was parsed; they call and map.
 */
export interface Call<B, Q> extends Person {
  /** Id of this request: answered in `X-Request-Id`, written into the audit trail. */
  request: string;
  params: Record<string, string>;
  body: B;
  query: Q;
  /** The version that `If-Match` names: the change is made to no other one. */
  ifMatch: number | undefined;
  /** Whether plain text was asked for. */
  plainText: boolean;
  /**
   * Decides once what this request makes (a number, an id) and remembers it under the Idempotency-Key, so that
   * a repeat of the request finds what the first one made. Without a key it just makes it.
   * @param plain it is one statement: without a key it needs no transaction.
   */
  once(make: (tx: Tx) => Promise<string>, plain?: boolean): Promise<string>;
  /**
   * Writes, and remembers its answer in the same transaction: a repeat is answered from memory, and nothing of this
   * handler runs again. For all that is written here; what a workflow writes is decided by `once`.
   */
  write(make: (tx: Tx) => Promise<Answer>): Promise<Answer>;
  /** What this request made when it was sent before; nothing slow is done again for it. */
  made?: string;
  /** When it was first sent, in milliseconds of this process's clock. */
  since: number;
}
export interface Answer {
  status?: number;
  body: unknown;
  /** It is not done yet: the same request is to be sent again after so long, and is not answered from memory. */
  retryAfterSeconds?: number;
}
/** An answer that is too long to be held at once: parts of a text. */
export class TextStream {
  constructor(
    readonly type: string,
    readonly parts: AsyncIterable<string>,
  ) {}
}
export interface Route<B = unknown, Q = unknown> {
  method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  /** Below /api, in Express's form. */
  path: string;
  summary: string;
  /** What the caller has to be allowed. */
  permission: Permission;
  /**
   * The target it is done on; needed where a grant may be limited to one target. Undefined: there is no such thing,
   * and the handler says so.
   */
  target?(call: { params: Record<string, string>; body: B }): Promise<string | undefined>;
  /** Bytes that a body may have; 256 KiB when left out. */
  bodyLimit?: number;
  /** Its answer holds a secret, which must not be kept: a repeat under an Idempotency-Key is refused. */
  secret?: true;
  /** It changes nothing, so that there is nothing to remember of it. */
  readsOnly?: true;
  body?: z.ZodType<B>;
  query?: z.ZodType<Q>;
  /** Whether it honours If-Match. */
  ifMatch?: true;
  /** `type`: of what is no JSON. */
  answers: {
    status: number;
    schema: z.ZodType;
    type?: string;
    /** Of a 202, where that says something else. */ accepted?: z.ZodType;
  };
  handle(call: Call<B, Q>): Promise<Answer>;
}
export const route = <B = undefined, Q = undefined>(definition: Route<B, Q>): Route => {
  if (permissions[definition.permission].on === 'target' && !definition.target)
    throw new Error(`${definition.path} does not say on which target it acts`);
  return definition as unknown as Route;
};

// PostgreSQL's text can not hold NUL, and no key or name holds any of the others.
const controls = /[\u0000-\u001f\u007f-\u009f]/;

export function register(router: Router, db: Db, definition: Route): void {
  const { permission } = definition;
  router[definition.method](definition.path, async (request: Request, response: Response) => {
    const person = response.locals.person as Person;
    const params = request.params as Record<string, string>;
    for (const [name, value] of Object.entries(params))
      if (value.length > 200 || controls.test(value) || !value.isWellFormed())
        throw badInput(`${name} in the address is too long, or holds characters that no name has.`);
    const allow = (target?: string) => {
      if (may(person.grants, permission, target)) return;
      const { code, message, needs } = whyMayNot(person.person, person.grants, permission, target);
      throw new SignalboxError(code, message, { needs });
    };
    allow();
    const body = parse(definition.body, request.body ?? {}, 'body');
    const query = parse(definition.query, request.query, 'query');
    if (definition.target) allow(await definition.target({ params, body }));
    const call = {
      ...person,
      request: response.locals.request as string,
      params,
      body,
      query,
      ifMatch: versionIn(request.get('if-match')),
      plainText: request.accepts(['application/json', 'text/plain']) === 'text/plain',
    };
    const key = definition.method === 'get' || definition.readsOnly ? undefined : idempotencyKey(request);
    if (key === undefined) {
      const once: Call<never, never>['once'] = (make, plain) => (plain ? make(db) : db.transaction(make));
      const write: Call<never, never>['write'] = (make) => db.transaction(make);
      const answer = await definition.handle({ ...call, since: performance.now(), once, write });
      return await send(response, definition, answer);
    }

    const digest = createHash('sha256')
      .update(JSON.stringify([definition.method, request.originalUrl, body]))
      .digest('hex');
    const holder = call.request;
    const known = await claimed(db, person.person, key, digest, holder);
    if (known.request !== digest)
      throw new SignalboxError(
        'idempotency-key-reused',
        'This Idempotency-Key was used with another request; use a new key for a new request.',
      );
    const remembered = ({ status, response }: Pick<Remembered, 'status' | 'response'>): Answer => {
      if (definition.secret)
        throw new SignalboxError(
          'illegal-transition',
          'The request with this Idempotency-Key was carried out before, and its answer held a secret that is not kept. Was it lost, revoke what was made, and make another with a new key.',
        );
      return { status: status!, body: response };
    };
    if (known.status !== null) return await send(response, definition, remembered(known));
    const kept = ({ status = definition.answers.status, body }: Answer) =>
      [status, definition.secret ? null : body] as const;
    const write: Call<never, never>['write'] = (make) =>
      db.transaction(async (tx) => {
        const where = { person: person.person, key };
        const row = (await tx('idempotency_keys').where(where).forNoKeyUpdate().first()) as Remembered;
        if (row.status !== null) return remembered(row);
        const answer = await make(tx);
        await remember(tx, person.person, key, ...kept(answer));
        return answer;
      });
    const once = (make: (tx: Tx) => Promise<string>) =>
      db.transaction(async (tx) => {
        const where = { person: person.person, key };
        const row = await tx('idempotency_keys').where(where).forNoKeyUpdate().first();
        if (row?.resource) return row.resource as string;
        const resource = await make(tx);
        await tx('idempotency_keys').where(where).update({ resource });
        return resource;
      });
    const renewing = setInterval(() => {
      renew(db, person.person, key, holder).catch(() => undefined);
    }, renewEveryMs);
    try {
      const since = performance.now() - known.age;
      const made = known.resource ?? undefined;
      const answer = await definition.handle({ ...call, since, made, once, write });
      clearInterval(renewing);
      if (answer.retryAfterSeconds === undefined) await remember(db, person.person, key, ...kept(answer));
      else await release(db, person.person, key, holder, false);
      await send(response, definition, answer);
    } catch (thrown) {
      clearInterval(renewing);
      // Refused before anything was made: the same key may be tried again.
      await release(db, person.person, key, holder, true).catch(() => undefined);
      throw thrown;
    }
  });
}

const waitForAnswerMs = 30_000;
const lookAgainMs = 100;

/** Claims a key. While another request works under it, this one waits for that one's answer. */
async function claimed(
  db: Db,
  person: string,
  key: string,
  digest: string,
  holder: string,
): Promise<Remembered> {
  const deadline = performance.now() + waitForAnswerMs;
  for (;;) {
    const known = await claim(db, person, key, digest, holder);
    if (known.status !== null || known.holder === holder || known.request !== digest) return known;
    if (performance.now() > deadline)
      throw new SignalboxError(
        'being-done',
        'The same request, with this Idempotency-Key, is still being worked on; ask again in a moment.',
      );
    await sleep(lookAgainMs);
  }
}

async function send(
  response: Response,
  definition: Route,
  { status, body, retryAfterSeconds }: Answer,
): Promise<void> {
  response.status(status ?? definition.answers.status);
  if (retryAfterSeconds !== undefined) response.set('Retry-After', String(retryAfterSeconds));
  if (body instanceof TextStream) {
    const parts = body.parts[Symbol.asyncIterator]();
    // Read before anything is sent: what cannot be read is an error with a status, not a connection that is cut.
    const first = await parts.next();
    response.type(body.type);
    // A reader that goes away is none of our errors.
    await pipeline(Readable.from(withFirst(first, parts)), response).catch((thrown: unknown) => {
      if (!response.destroyed) throw thrown;
    });
  } else if (typeof body === 'string') response.type('text/plain').send(body);
  else {
    const text = JSON.stringify(body);
    const etag = definition.method === 'delete' ? undefined : etagOf(body, text);
    if (etag) response.set('ETag', etag);
    response.type('json').send(text);
  }
}

async function* withFirst(first: IteratorResult<string>, rest: AsyncIterator<string>): AsyncIterable<string> {
  for (let part = first; !part.done; part = await rest.next()) yield part.value;
}

function parse(schema: z.ZodType | undefined, input: unknown, what: string): never {
  if (!schema) return undefined as never;
  const parsed = schema.safeParse(input);
  if (parsed.success) {
    const why = whyUnfit(parsed.data);
    if (why) throw badInput(sentences(`The ${what} is not valid`, why));
    return parsed.data as never;
  }
  const problems = problemsOf(parsed.error, input);
  throw badInput(`The ${what} is not valid. ${problemText(problems).replaceAll('\n', '; ')}`, { problems });
}

function idempotencyKey(request: Request): string | undefined {
  const key = request.get('idempotency-key');
  if (key !== undefined && !/^[\x21-\x7e]{1,200}$/.test(key))
    throw badInput('Idempotency-Key has to be 1 to 200 visible ASCII characters without spaces.');
  return key;
}
