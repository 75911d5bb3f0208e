import { realpathSync } from 'node:fs';
import { basename, dirname, join, sep } from 'node:path';
import { ConfigError, type TargetConfig, type Targets } from '../domain/config';

/** What Signalbox keeps, replaces and removes in a target's root. */
const rooms = ['releases', 'current', '.signalbox'];

/**
 * A target has its root alone: its lane, its fencing numbers and what it tidies up know nothing of another target's. Roots of
 * targets with runners lie on hosts of their own, where one path may be there twice.
 * @param targets with absolute roots. @throws ConfigError naming each two targets that would act on one folder.
 */
export function demandOwnRoots(targets: Targets, where: string): void {
  const here = [...targets.values()].filter(({ runner }) => !runner);
  const wrong = here.flatMap((one, at) =>
    here
      .slice(at + 1)
      .flatMap((other) => shared(one, other) ?? inside(one, other) ?? inside(other, one) ?? []),
  );
  if (wrong.length > 0) throw new ConfigError(`${where} is not valid:\n${wrong.join('\n')}`);
}

/**
 * A name that no target has would be waited for by nobody. A runner's own file may name its target alone.
 * @throws ConfigError naming each.
 */
export function demandRelated(targets: Targets, where: string): void {
  const wrong = [...targets.values()].flatMap(({ name, dependsOn }) =>
    dependsOn
      .filter((other) => !targets.has(other))
      .map((other) => `The target ${name} has dependsOn: ${other}, and there is no target ${other}.`),
  );
  if (wrong.length === 0) return;
  throw new ConfigError(`${where} is not valid: ${wrong.join(' ')} Name it, or take it out of dependsOn.`);
}

function shared(one: TargetConfig, other: TargetConfig): string | undefined {
  if (real(one.driver.root) !== real(other.driver.root)) return undefined;
  const path =
    one.driver.root === other.driver.root
      ? one.driver.root
      : `${one.driver.root} and ${other.driver.root}, which are one folder`;
  return `The targets ${one.name} and ${other.name} have the same driver.root: ${path}. A deployment of one would switch what the other serves. Give each a folder of its own.`;
}

function inside(outer: TargetConfig, inner: TargetConfig): string | undefined {
  const root = real(inner.driver.root);
  const room = rooms.find((name) =>
    [join(real(outer.driver.root), name), real(join(outer.driver.root, name))].some(
      (path) => root === path || root.startsWith(path + sep),
    ),
  );
  return (
    room &&
    `The driver.root of the target ${inner.name}, ${inner.driver.root}, lies inside "${room}" of the target ${outer.name} (${outer.driver.root}), which Signalbox replaces and tidies up. Give each a folder of its own.`
  );
}

/** Where a path leads; of one that is not there yet, where what is there of it leads. */
function real(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    const parent = dirname(path);
    return parent === path ? path : join(real(parent), basename(path));
  }
}
