/**
 * Arguments of Temporal's development server as Signalbox runs it.
 *
 * WAL with synchronous=2 keeps what was acknowledged through a power loss at most of the speed of memory. The
 * transfer queue's default poll rate makes every hop wait for a 50 ms tick. Eager start lets a workflow begin
 * on the worker that shares its starter's connection. A worker that is stopped or cut off holds its polls open,
 * and each try it is handed is lost until the heartbeat timeout; asking silent connections for a sign of life
 * closes it within 8 s instead of 70 s.
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
  '--dynamic-config-value',
  'frontend.keepAliveTime="5s"',
  '--dynamic-config-value',
  'frontend.keepAliveTimeout="3s"',
];
