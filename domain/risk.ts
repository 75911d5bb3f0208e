import { risks, type Risk } from './machines';

/** How a target's policy reads a change: each rule that applies may raise the risk, and says why. */
export interface RiskPolicy {
  base: Risk;
  /** Files whose paths match. */
  paths: readonly { match: string; risk: Risk; reason?: string }[];
  /** From so many changed lines on. */
  lines: readonly { from: number; risk: Risk }[];
  /** When more than this share of the target's last deployments rolled back. */
  rollbackRate: readonly { over: number; risk: Risk }[];
}
export interface ChangeFacts {
  files: readonly { path: string; added: number; removed: number }[];
  /** Lines added and removed in all. */
  lines: number;
  /** Of the target's latest deployments. */
  recent: { deployments: number; rolledBack: number };
}

/** Which files a pattern matches: the first, and how many; late: matching took too long. */
export type Touched = { first?: string; count: number } | 'late';
/** Fewer deployments say nothing about a target. */
export const fewestForRate = 4;

export const higher = (a: Risk, b: Risk): boolean => risks.indexOf(a) > risks.indexOf(b);

/**
 * The risk of a change by its target's rules, with the reasons that led there.
 * @param touched what each of the policy's `paths` matches, in order.
 */
export function riskOf(
  policy: RiskPolicy,
  facts: ChangeFacts,
  touched: readonly Touched[],
): { risk: Risk; reasons: string[] } {
  const found: { risk: Risk; why: string }[] = [];
  policy.paths.forEach(({ match, risk, reason }, n) => {
    const files = touched[n] ?? 'late';
    if (files === 'late')
      found.push({
        risk,
        why: `may touch ${match}: its files took too long to match, so that it counts as touched`,
      });
    else if (files.first !== undefined)
      found.push({
        risk,
        why: `touches ${files.first}${files.count > 1 ? ` and ${files.count - 1} more` : ''} (${reason ?? match})`,
      });
  });
  const size = policy.lines.filter(({ from }) => facts.lines >= from).sort((a, b) => b.from - a.from)[0];
  if (size) found.push({ risk: size.risk, why: `changes ${facts.lines} lines` });
  const { deployments, rolledBack } = facts.recent;
  if (deployments >= fewestForRate)
    for (const { over, risk } of policy.rollbackRate)
      if (rolledBack / deployments > over)
        found.push({
          risk,
          why: `${rolledBack} of the last ${deployments} deployments to this target rolled back`,
        });
  const risk = found.reduce((most, rule) => (higher(rule.risk, most) ? rule.risk : most), policy.base);
  return {
    risk,
    reasons: found.filter((rule) => higher(rule.risk, policy.base)).map((r) => `${r.risk}: ${r.why}`),
  };
}
