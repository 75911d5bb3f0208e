import picomatch from 'picomatch';
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

/** Fewer deployments say nothing about a target. */
export const fewestForRate = 4;

export const higher = (a: Risk, b: Risk): boolean => risks.indexOf(a) > risks.indexOf(b);

/** The risk of a change by its target's rules, with the reasons that led there. */
export function riskOf(policy: RiskPolicy, facts: ChangeFacts): { risk: Risk; reasons: string[] } {
  const found: { risk: Risk; why: string }[] = [];
  for (const { match, risk, reason } of policy.paths) {
    const matches = picomatch(match, { dot: true });
    const touched = facts.files.filter(({ path }) => matches(path));
    if (touched.length > 0)
      found.push({
        risk,
        why: `touches ${touched[0]!.path}${touched.length > 1 ? ` and ${touched.length - 1} more` : ''} (${reason ?? match})`,
      });
  }
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
