/** What an error of the database says about the database itself, rather than about what was asked of it. */
export interface Away {
  code: 'database-unreachable' | 'database-busy';
  message: string;
}

/** Errors of pg and knex that carry no code. */
const lost =
  /^(Connection terminated|Client has encountered a connection error|Client was closed|timeout expired$|Connection ended|Query read timeout|Unable to acquire a connection|aborted$)/;
/**
 * Connection exceptions, the server going away or starting, no room for another connection or on its disk, a login or
 * database that it does not know now, a standby that takes no writes; and the network's own errors.
 */
const unreachable =
  /^(08...|57P0[1-5]|53...|58...|28...|3D000|25006|ECONN[A-Z]+|ETIMEDOUT|EPIPE|EHOSTUNREACH|ENETUNREACH|EHOSTDOWN|ENETDOWN|ENOTFOUND|EAI_AGAIN)$/;
/** A limit of time, of locks, of a transaction that did nothing; a deadlock or a lost race that its loser may run again. */
const busy = /^(57014|55P03|25P0[234]|40P01|40001)$/;

/** @returns undefined when the database is there and it is the question that was wrong. */
export function whyAway(thrown: unknown): Away | undefined {
  const { code, name, message, isRollback } = (thrown ?? {}) as Record<string, unknown>;
  if (isRollback) return undefined;
  // Knex puts the statement before the message.
  const own = typeof message === 'string' ? message.split(' - ').pop()! : '';
  const sqlState = typeof code === 'string' ? code : '';
  if (busy.test(sqlState))
    return {
      code: 'database-busy',
      message: 'PostgreSQL did not get to it in time, so nothing was changed; try again in a moment.',
    };
  if (name === 'KnexTimeoutError' || unreachable.test(sqlState) || lost.test(own))
    return {
      code: 'database-unreachable',
      message: 'PostgreSQL does not answer; try again in a moment.',
    };
  return undefined;
}
