import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { backlogCalls } from './backlog-client';
import type { Role } from '../domain/machines';
import type {
  AuditEntry,
  CalendarView,
  ChangeRequestView,
  CopyingView,
  DeliveryView,
  DeploymentView,
  LogLine,
  OverrideView,
  PersonView,
  PreviewView,
  PromotionView,
  TargetView,
  TokenView,
  WindowStatusView,
  WindowView,
} from '../domain/schemas';

/** The API from the command line's side. Each write carries an Idempotency-Key, so that it may be sent again. */
export interface Place {
  api: string;
  /** A token per role; with `any`, one token for everything. */
  tokens: Partial<Record<Role | 'any', string>>;
}
export class ApiProblem extends Error {
  constructor(
    readonly status: number,
    readonly problem: { code: string; title: string; detail: string; [more: string]: unknown },
    /** When it may be asked again, if the answer said so. */
    readonly retryAfterMs?: number,
  ) {
    super(problem.detail);
  }
}
export class Unreachable extends Error {}

export interface Page<T> {
  items: T[];
  nextCursor: string | null;
}

/** An answer takes seconds; a file with many items a minute. */
const answerMs = 120_000;

/** Sends a request as whoever has this role. */
export type Send = <T>(
  role: Role,
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
  path: string,
  body?: object,
  more?: Record<string, string>,
) => Promise<T>;
export type Read = <T>(path: string) => Promise<T>;

export function createClient({ api, tokens }: Place) {
  let answered = false;
  const tokenFor = (role: Role) => tokens[role] ?? tokens.any;
  const call: Send = async <T>(
    role: Role,
    method: string,
    path: string,
    body?: object,
    more: Record<string, string> = {},
  ): Promise<T> => {
    const key = randomUUID();
    const send = () =>
      fetch(`${api}${path}`, {
        method,
        signal: AbortSignal.timeout(answerMs),
        headers: {
          authorization: `Bearer ${tokenFor(role) ?? ''}`,
          'content-type': 'application/json',
          ...(method === 'GET' ? {} : { 'idempotency-key': key }),
          ...more,
        },
        ...(body ? { body: JSON.stringify(body) } : {}),
      });
    let response: Response;
    let text: string;
    try {
      // A lost answer is asked for again under the same key; it makes nothing twice.
      response = await send().catch(send);
      text = await response.text();
      answered = true;
    } catch (thrown) {
      throw new Unreachable(`Signalbox does not answer at ${api}; is "signalbox up" running?`, {
        cause: thrown,
      });
    }
    if (response.ok)
      return (response.headers.get('content-type')?.includes('json') ? JSON.parse(text) : text) as T;
    let problem;
    try {
      problem = JSON.parse(text) as { code: string; title: string; detail: string };
    } catch {
      problem = { code: 'internal', title: 'No answer from Signalbox', detail: text.slice(0, 500) };
    }
    const seconds = Number(response.headers.get('retry-after'));
    throw new ApiProblem(response.status, problem, seconds > 0 ? seconds * 1000 : undefined);
  };
  const reader = (Object.keys(tokens)[0] ?? 'any') as Role;
  const read: Read = (path) => call(reader, 'GET', path);
  return {
    /** Whether anybody has answered at its address. */
    hasAnswered: () => answered,
    backlog: backlogCalls(call, read),
    me: (role: Role) => call<{ person: string; roles: string[] }>(role, 'GET', '/me'),
    targets: () => read<Page<TargetView>>('/targets'),
    promotions: (limit = 20, target?: string) =>
      read<Page<PromotionView>>(
        `/promotions?limit=${limit}${target ? `&target=${encodeURIComponent(target)}` : ''}`,
      ),
    promotion: (key: string) => read<PromotionView>(`/promotions/${encodeURIComponent(key)}`),
    changeRequest: (key: string) => read<ChangeRequestView>(`/change-requests/${encodeURIComponent(key)}`),
    deployment: (key: string) => read<DeploymentView>(`/deployments/${encodeURIComponent(key)}`),
    log: (key: string, after: number) =>
      read<Page<LogLine>>(`/deployments/${encodeURIComponent(key)}/log?after=${after}`),
    /** Sends it again under the same key while the repository is being copied. @param waiting hears how far that is. */
    async ship(body: object, waiting: (detail: string) => void = () => undefined): Promise<PromotionView> {
      const key = { 'idempotency-key': randomUUID() };
      for (;;) {
        const answer = await call<PromotionView | CopyingView>(
          'contributor',
          'POST',
          '/promotions',
          body,
          key,
        );
        if (!('retryAfterSeconds' in answer)) return answer;
        waiting(answer.detail.split(' Nothing is shipped')[0]!);
        await sleep(answer.retryAfterSeconds * 1000);
      }
    },
    submit: (rfc: string) =>
      call<ChangeRequestView>('contributor', 'POST', `/change-requests/${rfc}/submit`, {}),
    decide: (rfc: string, body: object) =>
      call<ChangeRequestView>('approver', 'POST', `/change-requests/${rfc}/decisions`, body),
    /** @param key under which it may be sent again. */
    act: (
      role: Role,
      promotion: string,
      verb: 'deploy' | 'retry' | 'rollback',
      body: object,
      key: string = randomUUID(),
    ) =>
      call<DeploymentView>(role, 'POST', `/promotions/${encodeURIComponent(promotion)}/${verb}`, body, {
        'idempotency-key': key,
      }),
    withdrawDecision: (rfc: string, body: object) =>
      call<ChangeRequestView>('approver', 'POST', `/change-requests/${rfc}/withdraw-decision`, body),
    review: (rfc: string, body: object) =>
      call<ChangeRequestView>('approver', 'POST', `/change-requests/${rfc}/review`, body),
    edit: (rfc: string, body: object) =>
      call<ChangeRequestView & { voided: string[] }>('contributor', 'PATCH', `/change-requests/${rfc}`, body),
    revise: (rfc: string, body: object) =>
      call<ChangeRequestView>('contributor', 'POST', `/change-requests/${rfc}/revise`, body),
    windows: () => read<Page<WindowView>>('/deployment-windows?limit=200'),
    windowStatus: (query: Record<string, string>) =>
      read<WindowStatusView>(`/deployment-windows/status?${new URLSearchParams(query)}`),
    addWindow: (body: object) => call<WindowView>('release-manager', 'POST', '/deployment-windows', body),
    previewWindow: (body: object) =>
      call<PreviewView>('release-manager', 'POST', '/deployment-windows/preview', body),
    changeWindow: ({ id, version }: WindowView, body: object) =>
      call<WindowView>('release-manager', 'PATCH', `/deployment-windows/${id}`, body, {
        'if-match': `"${version}"`,
      }),
    removeWindow: ({ id }: WindowView, body: object) =>
      call<WindowView>('release-manager', 'DELETE', `/deployment-windows/${id}`, body),
    override: ({ id }: WindowView, body: object) =>
      call<OverrideView>('release-manager', 'POST', `/deployment-windows/${id}/overrides`, body),
    second: (id: string) =>
      call<OverrideView>('release-manager', 'POST', `/window-overrides/${encodeURIComponent(id)}/second`, {}),
    revokeOverride: (id: string, body: object) =>
      call<OverrideView>(
        'release-manager',
        'POST',
        `/window-overrides/${encodeURIComponent(id)}/revoke`,
        body,
      ),
    calendar: (from: string, to: string) => read<CalendarView>(`/calendar?from=${from}&to=${to}`),
    calendarFeed: (label: string) => call<{ url: string }>(reader, 'POST', '/calendar/feeds', { label }),
    notifications: (status: string) => read<Page<DeliveryView>>(`/notifications?limit=200&status=${status}`),
    resend: (id: string) =>
      call<DeliveryView>('sre', 'POST', `/notifications/${encodeURIComponent(id)}/resend`, {}),
    withdraw: (promotion: string, body: object) =>
      call<PromotionView>(
        'contributor',
        'POST',
        `/promotions/${encodeURIComponent(promotion)}/withdraw`,
        body,
      ),
    cancel: (deployment: string, body: object) =>
      call<DeploymentView>(
        'release-manager',
        'POST',
        `/deployments/${encodeURIComponent(deployment)}/cancel`,
        body,
      ),
    resolve: (deployment: string, body: object) =>
      call<DeploymentView>('sre', 'POST', `/deployments/${encodeURIComponent(deployment)}/resolve`, body),
    adopt: (target: string, body: object) =>
      call<TargetView>('sre', 'POST', `/targets/${encodeURIComponent(target)}/adopt`, body),
    createToken: (body: object) => call<TokenView & { token: string }>('admin', 'POST', '/tokens', body),
    tokens: () => call<Page<TokenView>>('admin', 'GET', '/tokens?limit=200'),
    revokeToken: (id: string, body: object) =>
      call<TokenView>('admin', 'DELETE', `/tokens/${encodeURIComponent(id)}`, body),
    setPerson: (name: string, verb: 'disable' | 'enable', body: object) =>
      call<PersonView>('admin', 'POST', `/people/${encodeURIComponent(name)}/${verb}`, body),
    linkPerson: (name: string, body: object) =>
      call<PersonView>('admin', 'POST', `/people/${encodeURIComponent(name)}/link`, body),
    audit: (query: string) => read<Page<AuditEntry>>(`/audit?${query}`),
  };
}
export type Client = ReturnType<typeof createClient>;
