/** What can be said of a change on the command line. */
export interface ChangeOptions {
  title?: string;
  description?: string;
  risk?: string;
  riskReason?: string;
  rollbackPlan?: string;
  backupPlan?: string;
  plannedStart?: string;
  plannedMinutes?: number;
  acceptConflicts?: string;
}

/** What the options say of a change, in the API's words; the title stands elsewhere. */
export function changeOf(o: ChangeOptions): object {
  if ((o.plannedStart === undefined) !== (o.plannedMinutes === undefined))
    throw new Error('--planned-start and --planned-minutes belong together.');
  return {
    ...(o.description ? { description: o.description } : {}),
    ...(o.risk ? { risk: o.risk } : {}),
    ...(o.riskReason ? { riskReason: o.riskReason } : {}),
    ...(o.rollbackPlan ? { rollbackPlan: o.rollbackPlan } : {}),
    ...(o.backupPlan ? { backupPlan: o.backupPlan } : {}),
    ...(o.plannedStart ? { planned: { start: o.plannedStart, minutes: o.plannedMinutes } } : {}),
    ...(o.acceptConflicts ? { conflictsAccepted: o.acceptConflicts } : {}),
  };
}
