/**
 * Arguments of Temporal's development server as Signalbox runs it.
 *
 * WAL with synchronous=2 keeps what was acknowledged through a power loss at most of the speed of memory. The
 * transfer queue's default poll rate makes every hop wait for a 50 ms tick. Eager start lets a workflow begin
 * on the worker that shares its starter's connection.
 */
export const developmentServerArgs = (options: {
  port: number;
  uiPort: number;
  file: string;
  namespace: string;
}) => [
  'server',
  'start-dev',
  '--ip',
  '127.0.0.1',
  '--port',
  String(options.port),
  '--ui-ip',
  '127.0.0.1',
  '--ui-port',
  String(options.uiPort),
  '--db-filename',
  options.file,
  '--namespace',
  options.namespace,
  '--log-level',
  'warn',
  '--sqlite-pragma',
  'journal_mode=wal',
  '--sqlite-pragma',
  'synchronous=2',
  '--dynamic-config-value',
  'history.transferProcessorMaxPollRPS=2000',
  '--dynamic-config-value',
  'system.enableEagerWorkflowStart=true',
];
