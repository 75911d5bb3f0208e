import { useEffect, useRef } from 'react';
import {
  closestCenter,
  DndContext,
  KeyboardSensor,
  PointerSensor,
  useSensor,
  useSensors,
  type Announcements,
  type DragEndEvent,
  type UniqueIdentifier,
} from '@dnd-kit/core';
import {
  SortableContext,
  sortableKeyboardCoordinates,
  useSortable,
  verticalListSortingStrategy,
} from '@dnd-kit/sortable';
import { useVirtualizer } from '@tanstack/react-virtual';
import { Link } from 'wouter';
import type { ItemView } from '../../../domain/backlog/schemas';
import { Badge } from '../badge';
import { day } from '../format';
import { useItems, useRank, useStand } from './queries';

/**
 * The items as far as they were scrolled to; only those in sight are in the document. In the order of their rank they
 * can be dragged, by mouse or, from the handle, by keyboard: Space lifts, arrows move, Space drops, Escape puts back.
 */
const rowHeight = 44;

export function ItemList(props: {
  filter: URLSearchParams;
  chosen: string | undefined;
  total: number | undefined;
}) {
  const { filter, chosen } = props;
  const query = filter.toString();
  const items = useItems(query);
  const rank = useRank(query);
  const stand = useStand();
  const box = useRef<HTMLDivElement>(null);
  const all = items.data?.pages.flatMap((page) => page.items) ?? [];
  const ordered = !filter.has('sort') || filter.get('sort') === 'rank';
  const rows = useVirtualizer({
    count: all.length,
    getScrollElement: () => box.current,
    estimateSize: () => rowHeight,
    getItemKey: (n) => all[n]!.key,
    overscan: 12,
  });
  const shown = rows.getVirtualItems();
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = items;
  const lastShown = shown.at(-1)?.index ?? 0;
  useEffect(() => {
    if (hasNextPage && !isFetchingNextPage && lastShown > all.length - 40) void fetchNextPage();
  }, [hasNextPage, isFetchingNextPage, fetchNextPage, lastShown, all.length]);
  const sensors = useSensors(
    useSensor(PointerSensor, { activationConstraint: { distance: 4 } }),
    useSensor(KeyboardSensor, { coordinateGetter: sortableKeyboardCoordinates }),
  );
  const dropped = ({ active, over }: DragEndEvent) => {
    const [from, to] = [active, over].map((one) => all.findIndex(({ key }) => key === one?.id));
    if (over === null || from === to || from! < 0 || to! < 0) return;
    rank.mutate({
      key: String(active.id),
      beside: String(over.id),
      side: from! < to! ? 'after' : 'before',
    });
  };
  if (items.isPending) return <p className="muted">Reading the items ...</p>;
  if (items.error && all.length === 0)
    return (
      <p role="alert" className="refusal">
        {items.error.message}
      </p>
    );
  if (all.length === 0)
    return (
      <p className="muted">
        {filter.size > 0
          ? 'No item is like this; clear the filter to see all.'
          : 'There is no item yet. Add one above, or with "npx signalbox item add "Pay by card""; bring those of another tool with "npx signalbox item import FILE".'}
      </p>
    );
  return (
    <>
      {rank.error && (
        <p role="alert" className="refusal">
          It was put back: {rank.error.message}
        </p>
      )}
      <DndContext
        sensors={sensors}
        collisionDetection={closestCenter}
        onDragEnd={dropped}
        accessibility={{ announcements: announcements(all), screenReaderInstructions }}
      >
        <SortableContext items={all.map(({ key }) => key)} strategy={verticalListSortingStrategy}>
          <div ref={box} className="rows" role="region" aria-label="Items in order" tabIndex={0}>
            <ul style={{ height: rows.getTotalSize() }}>
              {shown.map(({ index, start }) => (
                <Row
                  key={all[index]!.key}
                  item={all[index]!}
                  top={start}
                  search={query}
                  chosen={all[index]!.key === chosen}
                  movable={ordered && stand.can}
                  place={index + 1}
                  total={props.total ?? all.length}
                />
              ))}
            </ul>
          </div>
        </SortableContext>
      </DndContext>
      {isFetchingNextPage && <p className="muted">Reading more ...</p>}
    </>
  );
}

/** What a screen reader says of a move. */
const screenReaderInstructions = {
  draggable: 'To move the item press Space, then the arrow keys; Space drops it, Escape puts it back.',
};
function announcements(all: ItemView[]): Announcements {
  const place = (key: UniqueIdentifier | undefined) =>
    `place ${all.findIndex((i) => i.key === key) + 1} of ${all.length}`;
  return {
    onDragStart: ({ active }) => `${active.id} is lifted from ${place(active.id)}.`,
    onDragOver: ({ active, over }) => over && `${active.id} is over ${place(over.id)}.`,
    onDragEnd: ({ active, over }) => `${active.id} is dropped at ${place(over?.id ?? active.id)}.`,
    onDragCancel: ({ active }) => `${active.id} is put back to ${place(active.id)}.`,
  } as Announcements;
}

function Row(props: {
  item: ItemView;
  top: number;
  search: string;
  chosen: boolean;
  movable: boolean;
  place: number;
  total: number;
}) {
  const { item, top } = props;
  const { attributes, listeners, setNodeRef, setActivatorNodeRef, transform, transition, isDragging } =
    useSortable({ id: item.key, disabled: !props.movable });
  const by = item.blockers.filter(({ resolvedAt }) => resolvedAt === null);
  return (
    <li
      ref={setNodeRef}
      className={`item${isDragging ? ' dragging' : ''}`}
      aria-setsize={props.total}
      aria-posinset={props.place}
      style={{
        top,
        height: rowHeight,
        transform: transform ? `translateY(${transform.y}px)` : undefined,
        transition,
      }}
    >
      {props.movable && (
        <button
          ref={setActivatorNodeRef}
          type="button"
          className="handle"
          {...attributes}
          {...listeners}
          aria-label={`Move ${item.key}`}
        >
          <span aria-hidden="true" />
        </button>
      )}
      <Link
        data-row
        href={`/backlog/${item.key}${props.search && `?${props.search}`}`}
        aria-current={props.chosen ? 'true' : undefined}
      >
        <span className="key">{item.key}</span>
        <span className="title">{item.title}</span>
        {by.length > 0 && (
          <span
            className="warning"
            title={by.map((b) => `${b.blockedBy ?? 'outside'}: ${b.reason}`).join('\n')}
          >
            blocked by {by.map((b) => b.blockedBy ?? b.reason).join(', ')}
          </span>
        )}
        <span className={`priority ${item.priority}`}>{item.priority}</span>
        <span className="muted owner">{item.owner ?? ''}</span>
        {item.dueDate && (
          <span className={item.overdue ? 'warning' : 'muted'}>
            {day(item.dueDate)}
            {item.overdue && ' overdue'}
          </span>
        )}
        <Badge machine="backlogItem" state={item.status} />
      </Link>
    </li>
  );
}
