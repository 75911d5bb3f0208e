import { randomUUID } from 'node:crypto';
import type { Role } from '../domain/machines';
import type {
  AuditEntry,
  ChangeRequestView,
  DeploymentView,
  LogLine,
  PersonView,
  PromotionView,
  TargetView,
  TokenView,
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
    readonly problem: { code: string; title: string; detail: string },
  ) {
    super(problem.detail);
  }
}
export class Unreachable extends Error {}

export interface Page<T> {
  items: T[];
  nextCursor: string | null;
}

export function createClient({ api, tokens }: Place) {
  const tokenFor = (role: Role) => tokens[role] ?? tokens.any;
  async function call<T>(
    role: Role,
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    body?: object,
  ): Promise<T> {
    const key = randomUUID();
    const send = () =>
      fetch(`${api}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${tokenFor(role) ?? ''}`,
          'content-type': 'application/json',
          ...(method === 'POST' ? { 'idempotency-key': key } : {}),
        },
        ...(body ? { body: JSON.stringify(body) } : {}),
      });
    let response: Response;
    try {
      // A lost answer is asked for again under the same key; it makes nothing twice.
      response = await send().catch(send);
    } catch (thrown) {
      throw new Unreachable(`Signalbox does not answer at ${api}; is "signalbox up" running?`, {
        cause: thrown,
      });
    }
    const text = await response.text();
    if (response.ok) return JSON.parse(text) as T;
    let problem;
    try {
      problem = JSON.parse(text) as { code: string; title: string; detail: string };
    } catch {
      problem = { code: 'internal', title: 'No answer from Signalbox', detail: text.slice(0, 500) };
    }
    throw new ApiProblem(response.status, problem);
  }
  const reader = (Object.keys(tokens)[0] ?? 'any') as Role;
  const read = <T>(path: string) => call<T>(reader, 'GET', path);
  return {
    me: (role: Role) => call<{ person: string; roles: string[] }>(role, 'GET', '/me'),
    targets: () => read<Page<TargetView>>('/targets'),
    promotions: (limit = 20) => read<Page<PromotionView>>(`/promotions?limit=${limit}`),
    promotion: (key: string) => read<PromotionView>(`/promotions/${encodeURIComponent(key)}`),
    changeRequest: (key: string) => read<ChangeRequestView>(`/change-requests/${encodeURIComponent(key)}`),
    deployment: (key: string) => read<DeploymentView>(`/deployments/${encodeURIComponent(key)}`),
    log: (key: string, after: number) =>
      read<Page<LogLine>>(`/deployments/${encodeURIComponent(key)}/log?after=${after}`),
    ship: (body: object) => call<PromotionView>('contributor', 'POST', '/promotions', body),
    submit: (rfc: string) =>
      call<ChangeRequestView>('contributor', 'POST', `/change-requests/${rfc}/submit`, {}),
    decide: (rfc: string, body: object) =>
      call<ChangeRequestView>('approver', 'POST', `/change-requests/${rfc}/decisions`, body),
    act: (role: Role, promotion: string, verb: 'deploy' | 'retry' | 'rollback', body: object) =>
      call<DeploymentView>(role, 'POST', `/promotions/${encodeURIComponent(promotion)}/${verb}`, body),
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
    createToken: (body: object) => call<TokenView & { token: string }>('admin', 'POST', '/tokens', body),
    tokens: () => call<Page<TokenView>>('admin', 'GET', '/tokens?limit=200'),
    revokeToken: (id: string, body: object) =>
      call<TokenView>('admin', 'DELETE', `/tokens/${encodeURIComponent(id)}`, body),
    setPerson: (name: string, verb: 'disable' | 'enable', body: object) =>
      call<PersonView>('admin', 'POST', `/people/${encodeURIComponent(name)}/${verb}`, body),
    audit: (query: string) => read<Page<AuditEntry>>(`/audit?${query}`),
  };
}
export type Client = ReturnType<typeof createClient>;
