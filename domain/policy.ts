import { samePerson } from './person';
import { defaultChain, everyApprover, type Level } from './approval';
import type { TargetConfig } from './config';
import type { ChangeType, Risk } from './machines';

/** What a submission is decided by, fixed when it is submitted: who, in which order, and by when. */
export interface ApprovalPolicy {
  levels: readonly Level[];
  remindMs?: number;
  escalateMs?: number;
  expireMs?: number;
  /** How long an approval may go unused. */
  bindsMs?: number;
}
export const defaultPolicy: ApprovalPolicy = { levels: defaultChain };

const hourMs = 3_600_000;
const ms = (hours: number | undefined) => (hours === undefined ? undefined : Math.round(hours * hourMs));

/** The first rule of the target that fits the change; one approver where none does. */
export function policyFor(target: TargetConfig, type: ChangeType, risk: Risk): ApprovalPolicy {
  const rule = target.approval.find(
    ({ types, risks }) => (!types || types.includes(type)) && (!risks || risks.includes(risk)),
  );
  if (!rule) return defaultPolicy;
  return {
    levels: rule.levels,
    remindMs: ms(rule.remindHours),
    escalateMs: ms(rule.escalateHours),
    expireMs: ms(rule.expireHours),
    bindsMs: ms(rule.bindsHours),
  };
}

/** The groups somebody who may decide is in, by the target's file and by what their OpenID provider said. */
export const groupsOf = (
  target: TargetConfig | undefined,
  person: string,
  provided: readonly string[],
): string[] => [
  ...new Set([
    everyApprover,
    ...Object.entries(target?.groups ?? {}).flatMap(([group, members]) =>
      members.some((member) => samePerson(member, person)) ? [group] : [],
    ),
    ...provided,
  ]),
];
