/**
 * What has to be done before a step may begin, as the record has it. The order of the workflow is no proof: Temporal hands on
 * as a step's answer whatever somebody answered for its worker. `test/unit/machines` compares the names with the steps.
 */
export const predecessors: Record<string, readonly string[]> = {
  build: [],
  // A rollback by hand has its release already.
  backup: ['build'],
  // Where the plan has one.
  migrate: ['build', 'backup'],
  swap: ['build', 'backup', 'migrate'],
  'health-check': ['swap'],
  'take-out': [],
  // Where data goes back.
  'undo-migrate': ['take-out'],
  'undo-swap': ['undo-migrate'],
  // Where the swap acted.
  'verify-rollback': ['undo-swap'],
};

/** The same for an end. */
export const predecessorsOfEnd: Record<string, readonly string[]> = {
  succeeded: ['health-check'],
  'rolled-back': ['undo-migrate', 'undo-swap', 'verify-rollback'],
  cancelled: [],
};
