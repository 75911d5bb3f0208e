import { useState } from 'react';
import {
  DndContext,
  KeyboardSensor,
  PointerSensor,
  useDraggable,
  useDroppable,
  useSensor,
  useSensors,
  type DragEndEvent,
} from '@dnd-kit/core';
import { useQueryClient } from '@tanstack/react-query';
import { Link, useSearch } from 'wouter';
import { rankBetween } from '../../../domain/backlog/ranking';
import type { ItemView, TotalsView } from '../../../domain/backlog/schemas';
import { mayFollow, type ItemStatus } from '../../../domain/machines';
import { useWipLimits } from '../api';
import { day, labelOf, number } from '../format';
import { announcements, arrows, columnId, screenReaderInstructions, statuses, within } from './board-moves';
import { needsReason, Why } from './why';
import { useColumn, useStand, useWrite } from './queries';
import { Refusal } from '../refusal';

/**
 * The items by status, side by side. A card is dragged to another column to change its status, or within its own to
 * rank it; by keyboard from its handle: Space lifts, arrows move, Space drops, Escape puts back. What is done shows at
 * once and is taken back when the server refuses.
 */
interface Pending {
  status?: ItemStatus;
  rank?: string;
}

export function Board(props: {
  filter: URLSearchParams;
  chosen: string | undefined;
  totals: TotalsView | undefined;
}) {
  const asked = new URLSearchParams(props.filter);
  asked.delete('status');
  asked.delete('sort');
  const query = asked.toString();
  const queries = useQueryClient();
  const stand = useStand();
  const limits = useWipLimits().data?.limits ?? [];
  const columns = {
    open: useColumn(query, 'open'),
    'in-progress': useColumn(query, 'in-progress'),
    deferred: useColumn(query, 'deferred'),
    done: useColumn(query, 'done'),
  } satisfies Record<ItemStatus, unknown>;
  const [pending, setPending] = useState<ReadonlyMap<string, Pending>>(new Map());
  const [lifted, lift] = useState<string>();
  const [asking, ask] = useState<{ item: ItemView; to: ItemStatus }>();
  const read = statuses.flatMap((s) => columns[s].data?.pages.flatMap((page) => page.items) ?? []);
  // While columns are read one after the other an item may stand in two.
  const all = [...new Map(read.map((item) => [item.key, item])).values()].map((item) => ({
    ...item,
    ...pending.get(item.key),
  }));
  all.sort((a, b) => (a.rank < b.rank ? -1 : 1));
  const inColumn = (status: ItemStatus) => all.filter((item) => item.status === status);
  const write = useWrite<{ key: string; change: Pending; body: object }>((api, as, { key, change, body }) =>
    change.rank === undefined
      ? api.change(`/backlog-items/${key}`, body, as)
      : api.write(`/backlog-items/${key}/rank`, body, as),
  );
  const go = (item: ItemView, change: Pending, body: object) => {
    setPending((before) => new Map(before).set(item.key, change));
    const done = () => setPending((before) => new Map([...before].filter(([key]) => key !== item.key)));
    write.mutate(
      { key: item.key, change, body },
      {
        onError: done,
        onSuccess: () => void queries.invalidateQueries({ queryKey: ['backlog', 'board'] }).then(done),
      },
    );
  };
  const dropped = ({ active, over }: DragEndEvent) => {
    lift(undefined);
    const item = all.find(({ key }) => key === active.id);
    if (!item || !over || over.id === active.id) return;
    const to = over.data.current?.status as ItemStatus;
    if (to !== item.status) {
      if (needsReason(item.status, to)) return ask({ item, to });
      return go(item, { status: to }, { status: to });
    }
    const others = inColumn(to).filter(({ key }) => key !== item.key);
    const at = others.findIndex(({ key }) => key === over.id);
    if (at < 0) return;
    const after = item.rank < others[at]!.rank;
    const [lower, upper] = after ? [others[at], others[at + 1]] : [others[at - 1], others[at]];
    const rank = rankBetween(lower?.rank ?? null, upper?.rank ?? null);
    go(item, { rank }, { [after ? 'after' : 'before']: over.id });
  };
  const sensors = useSensors(
    useSensor(PointerSensor, { activationConstraint: { distance: 4 } }),
    useSensor(KeyboardSensor, { coordinateGetter: arrows }),
  );
  const card = all.find(({ key }) => key === lifted);
  return (
    <>
      <Refusal first="It was put back: " error={write.error} />
      <DndContext
        sensors={sensors}
        collisionDetection={within}
        onDragStart={({ active }) => lift(String(active.id))}
        onDragEnd={dropped}
        onDragCancel={() => lift(undefined)}
        accessibility={{ announcements, screenReaderInstructions }}
      >
        <div className="board">
          {statuses.map((status) => (
            <Column
              key={status}
              status={status}
              items={inColumn(status)}
              total={props.totals?.byStatus[status]}
              limit={status === 'in-progress' ? limits.find(({ scope }) => scope === 'board') : undefined}
              more={columns[status]}
              chosen={props.chosen}
              movable={stand.can}
              legal={
                card === undefined || card.status === status || mayFollow('backlogItem', card.status, status)
              }
            />
          ))}
        </div>
      </DndContext>
      {asking && (
        <Why
          item={asking.item}
          to={asking.to}
          close={() => ask(undefined)}
          go={(reason) => go(asking.item, { status: asking.to }, { status: asking.to, reason })}
        />
      )}
    </>
  );
}

function Column(props: {
  status: ItemStatus;
  items: ItemView[];
  total: number | undefined;
  limit: { limit: number; inProgress: number; over: boolean } | undefined;
  more: ReturnType<typeof useColumn>;
  chosen: string | undefined;
  movable: boolean;
  legal: boolean;
}) {
  const { status, items, total, limit, more } = props;
  const { setNodeRef, isOver } = useDroppable({ id: columnId(status), data: { status } });
  const label = labelOf('backlogItem', status);
  const title = `column-${status}`;
  return (
    <section
      ref={setNodeRef}
      aria-labelledby={title}
      className={`column${isOver ? ' over' : ''}${props.legal ? '' : ' closed-to'}`}
    >
      <h2 id={title}>
        {label} <small>{total === undefined ? '' : number(total)}</small>
        {limit && (
          <small className={limit.over ? 'warning' : undefined}>
            {' · '}
            {limit.inProgress} of at most {limit.limit}
          </small>
        )}
      </h2>
      {items.length === 0 && more.isSuccess && <p className="muted">None.</p>}
      {more.isPending && <p className="muted">Reading ...</p>}
      <Refusal error={more.error} />
      <ul>
        {items.map((item) => (
          <Card key={item.key} item={item} chosen={item.key === props.chosen} movable={props.movable} />
        ))}
      </ul>
      {more.hasNextPage && (
        <button type="button" disabled={more.isFetchingNextPage} onClick={() => void more.fetchNextPage()}>
          {more.isFetchingNextPage ? 'Reading more ...' : 'Show 50 more'}
        </button>
      )}
    </section>
  );
}

function Card({ item, chosen, movable }: { item: ItemView; chosen: boolean; movable: boolean }) {
  const data = { status: item.status };
  const drag = useDraggable({ id: item.key, data, disabled: !movable });
  const drop = useDroppable({ id: item.key, data });
  const search = useSearch();
  return (
    <li
      ref={(node) => {
        drag.setNodeRef(node);
        drop.setNodeRef(node);
      }}
      style={{
        transform: drag.transform ? `translate(${drag.transform.x}px, ${drag.transform.y}px)` : undefined,
      }}
      className={`board-card${drag.isDragging ? ' lifted' : ''}${drop.isOver && !drag.isDragging ? ' over' : ''}`}
    >
      {movable && (
        <button
          ref={drag.setActivatorNodeRef}
          type="button"
          className="handle"
          {...drag.attributes}
          {...drag.listeners}
          aria-label={`Move ${item.key}`}
        >
          <span aria-hidden="true" />
        </button>
      )}
      <Link
        data-row
        href={`/backlog/${item.key}${search && `?${search}`}`}
        aria-current={chosen ? 'true' : undefined}
      >
        <Face item={item} />
      </Link>
    </li>
  );
}

function Face({ item }: { item: ItemView }) {
  const by = item.blockers.filter(({ resolvedAt }) => resolvedAt === null);
  return (
    <span className="face">
      <span className="row">
        <span className="muted">{item.key}</span>
        <span className={`priority ${item.priority}`}>{item.priority}</span>
        <span className="muted">{item.owner ?? ''}</span>
      </span>
      <span>{item.title}</span>
      {by.length > 0 && (
        <span className="warning">blocked by {by.map((b) => b.blockedBy ?? b.reason).join(', ')}</span>
      )}
      {item.dueDate && (
        <span className={item.overdue ? 'warning' : 'muted'}>
          {item.overdue ? 'overdue since' : 'due'} {day(item.dueDate)}
        </span>
      )}
    </span>
  );
}
