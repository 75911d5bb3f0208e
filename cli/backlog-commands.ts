import { InvalidArgumentError, Option, type Command } from 'commander';
import { sorts } from '../domain/backlog/item';
import { priorities, statesOf } from '../domain/machines';
import * as backlog from './backlog';
import type { runClientCommand } from './commands';

/** `signalbox item|epic|wip ...`: what they take. What they do stands in backlog.ts. */
type Handler = Parameters<typeof runClientCommand>[1];
type Make = (name: string, description: string, parent: Command) => Command;
type Act = (
  handler: (...args: never[]) => ReturnType<Handler>,
) => (this: Command, ...args: unknown[]) => Promise<void>;

const statuses = statesOf('backlogItem');
const key = ['<key>', 'ITEM-12'] as const;
const reason = ['--reason <text>', 'why; it stays in the history'] as const;
const oneOf = (flag: string, description: string, choices: readonly string[]) =>
  new Option(flag, `${description}: ${choices.join(', ')}`).choices([...choices]);
const filtering = (command: Command) =>
  command
    .option('--epic <key>', 'EPIC-3, or none')
    .addOption(oneOf('--status <status...>', 'any of these', statuses))
    .addOption(oneOf('--priority <priority...>', 'any of these', priorities))
    .option('--owner <name...>', 'any of these; none: nobody')
    .option('--label <label...>', 'all of these')
    .option('--blocked', 'only what is blocked')
    .option('--overdue', 'only what is overdue')
    .option('--due-before <day>', '2026-12-24')
    .option('--search <words>', 'in title and description, or a key');
const saying = (command: Command) =>
  command
    .option('--description <markdown>')
    .addOption(oneOf('--priority <priority>', 'one of', priorities))
    .option('--epic <key>', 'EPIC-3')
    .option('--owner <name>')
    .option('--due <day>', '2026-12-24')
    .option('--label <label...>')
    .option(...reason);
const taking = (command: Command) =>
  command
    .option('--no-epic', 'take it out of its epic')
    .option('--no-owner', 'nobody owns it')
    .option('--no-due', 'it has no due date');

export function backlogCommands(
  program: Command,
  make: Make,
  act: Act,
  whole: (text: string) => number,
): void {
  const item = program.command('item').description('backlog items');
  saying(make('add', 'add an item at the end of the order', item).argument('<title>'))
    .option('--start', 'work on it begins at once', false)
    .action(act(backlog.addItem));
  filtering(make('list', 'list items', item))
    .addOption(oneOf('--sort <by>', 'in the order of', sorts).default('rank'))
    .option('--limit <n>', 'at most so many', whole, 50)
    .action(act(backlog.listItems));
  make('show', 'one item, with what blocks it, what carries it and where it runs', item)
    .argument(...key)
    .action(act(backlog.showItem));
  taking(
    saying(
      make('edit', 'change an item', item)
        .argument(...key)
        .option('--title <text>'),
    ),
  )
    .option('--if-version <n>', 'only if it still is at this version', whole)
    .action(act(backlog.editItem));
  taking(
    make('set', 'change several items together, all or none', item)
      .argument('<keys...>', 'ITEM-12 ITEM-13')
      .addOption(oneOf('--to <status>', 'move them to', statuses))
      .addOption(oneOf('--priority <priority>', 'one of', priorities))
      .option('--epic <key>', 'EPIC-3')
      .option('--owner <name>')
      .option('--due <day>', '2026-12-24')
      .option('--add-label <label...>')
      .option('--remove-label <label...>')
      .option(...reason),
  ).action(act(backlog.setItems));
  make('move', 'move an item to a status, or in the order', item)
    .argument(...key)
    .addOption(oneOf('--to <status>', 'to', statuses))
    .option('--before <key>', 'directly before another item')
    .option('--after <key>', 'directly after another item')
    .option(...reason)
    .action(act(backlog.moveItem));
  make('block', 'say that an item is blocked', item)
    .argument(...key)
    .option('--by <key>', 'by another item (default: by something outside of the backlog)')
    .requiredOption('--reason <text>')
    .action(act(backlog.blockItem));
  make('unblock', 'resolve a blocker', item)
    .argument('<blocker>', 'its number, from "item show" or "item blocked"')
    .requiredOption('--resolution <text>', 'how')
    .action(act(backlog.unblock));
  make('blocked', 'what is blocked, for how long, and what frees most', item).action(
    act(backlog.listBlocked),
  );
  make('history', 'every change of an item, with who and why', item)
    .argument(...key)
    .action(act(backlog.history));
  make('remove', 'remove an item that no promotion carries', item)
    .argument(...key)
    .option(...reason)
    .action(act(backlog.removeItem));
  make('import', 'import a CSV or JSON file, all of it or nothing', item)
    .argument('<file>', 'file.csv or file.json')
    .option('--map <file>', 'YAML: which column is which field')
    .option('--dry-run', 'say line by line what would be done, and do nothing', false)
    .option(...reason)
    .action(act(backlog.importFile));
  filtering(make('export', 'print the items as CSV, or write them into a file', item))
    .option('--output <file>')
    .action(act(backlog.exportItems));

  const epic = program.command('epic').description('epics');
  const describing = (command: Command) =>
    command
      .option('--outcome <markdown>', 'what is better when it is done')
      .option('--owner <name>')
      .option('--target <day>', '2026-12-24');
  describing(make('add', 'add an epic', epic).argument('<title>')).action(act(backlog.addEpic));
  make('list', 'list epics with their progress', epic)
    .addOption(oneOf('--status <status>', 'only these', ['open', 'in-progress', 'done']))
    .option('--owner <name>')
    .action(act(backlog.listEpics));
  make('show', 'one epic', epic).argument('<key>', 'EPIC-3').action(act(backlog.showEpic));
  describing(
    make('edit', 'change an epic', epic).argument('<key>', 'EPIC-3').option('--title <text>'),
  ).action(act(backlog.editEpic));
  make('remove', 'remove an epic that has no items', epic)
    .argument('<key>', 'EPIC-3')
    .option(...reason)
    .action(act(backlog.removeEpic));

  const wip = program.command('wip').description('limits on work in progress');
  make('show', 'the limits, and who holds their places', wip).action(act(backlog.showWip));
  make('set', 'set limits; what is in progress stays so', wip)
    .argument('<limits...>', 'board=5 owner:olga=2 epic:EPIC-3=4; none takes one away', parseLimit)
    .option(...reason)
    .action(act(backlog.setWip));
}

function parseLimit(text: string, before: backlog.LimitChange[] = []): backlog.LimitChange[] {
  const [, scope, limit] = /^(.+)=(none|\d{1,7})$/.exec(text) ?? [];
  if (!scope) throw new InvalidArgumentError('One looks like board=5, or board=none.');
  return [...before, { scope, limit: limit === 'none' ? null : Number(limit) }];
}
