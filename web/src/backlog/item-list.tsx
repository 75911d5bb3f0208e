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
import { defaultRangeExtractor, useVirtualizer } from '@tanstack/react-virtual';
import { Link, useSearch } from 'wouter';
import type { ItemView } from '../../../domain/backlog/schemas';
import { useAddress } from '../address';
import { Badge } from '../badge';
import { day } from '../format';
import { pageSize, useItemPages, useRank, useStand } from './queries';
import { Refusal } from '../refusal';

/**
 * The items, all of them under one scrollbar; only those in sight are read and in the document. In the order of their rank they
 * can be dragged, by mouse or, from the handle, by keyboard: Space lifts, arrows move, Space drops, Escape puts back.
 */
const rowHeight = 44;

export function ItemList(props: {
  filter: URLSearchParams;
  chosen: string | undefined;
  /** How many there are; undefined: not known yet. */
  total: number | undefined;
}) {
  const { filter, chosen, total } = props;
  const query = filter.toString();
  const rank = useRank(query);
  const stand = useStand();
  const search = useSearch();
  const [address, setAddress] = useAddress();
  const begun = Number(address.get('at')) || 0;
  const box = useRef<HTMLDivElement>(null);
  const lifted = useRef<number>(undefined);
  const ordered = !filter.has('sort') || filter.get('sort') === 'rank';
  const rows = useVirtualizer({
    count: total ?? 0,
    getScrollElement: () => box.current,
    estimateSize: () => rowHeight,
    initialOffset: begun * rowHeight,
    overscan: 12,
    // What is being moved stays, however far it is scrolled.
    rangeExtractor: (range) => [
      ...new Set([
        ...defaultRangeExtractor(range),
        ...(lifted.current === undefined ? [] : [lifted.current]),
      ]),
    ],
  });
  // Where one is in it stands in the address, so that a way back leads there.
  const at = rows.isScrolling ? undefined : Math.floor((rows.scrollOffset ?? 0) / rowHeight);
  useEffect(() => {
    if (at !== undefined && total && at !== begun) setAddress({ at: at > 0 ? String(at) : '' }, true);
  }, [at]);
  const shown = rows.getVirtualItems();
  const pages = [...new Set([0, ...shown.map(({ index }) => Math.floor(index / pageSize))])];
  const items = useItemPages(query, pages);
  const sensors = useSensors(
    useSensor(PointerSensor, { activationConstraint: { distance: 4 } }),
    useSensor(KeyboardSensor, { coordinateGetter: sortableKeyboardCoordinates }),
  );
  const loaded = shown.flatMap(({ index, start }) => {
    const item = items.at(index);
    return item ? [{ index, start, item }] : [];
  });
  const indexOf = (key: UniqueIdentifier | undefined) =>
    loaded.find(({ item }) => item.key === key)?.index ?? -1;
  const dropped = ({ active, over }: DragEndEvent) => {
    const [from, to] = [indexOf(active.id), indexOf(over?.id)];
    lifted.current = undefined;
    if (over === null || from === to || from < 0 || to < 0) return;
    rank.mutate({
      key: String(active.id),
      beside: String(over.id),
      side: from < to ? 'after' : 'before',
      from,
      to,
    });
  };
  if (items.error && loaded.length === 0) return <Refusal error={items.error} />;
  if (total === undefined) return <p className="muted">Reading the items ...</p>;
  if (total === 0)
    return (
      <p className="muted">
        {filter.size > 0
          ? 'No item is like this; clear the filter to see all.'
          : 'There is no item yet. Add one above, or with "npx signalbox item add "Pay by card""; bring those of another tool with "npx signalbox item import FILE".'}
      </p>
    );
  return (
    <>
      <Refusal first="It was put back: " error={rank.error} />
      <DndContext
        sensors={sensors}
        collisionDetection={closestCenter}
        onDragStart={({ active }) => (lifted.current = indexOf(active.id))}
        onDragEnd={dropped}
        onDragCancel={() => (lifted.current = undefined)}
        accessibility={{ announcements: announcements(indexOf, total), screenReaderInstructions }}
      >
        <SortableContext items={loaded.map(({ item }) => item.key)} strategy={verticalListSortingStrategy}>
          <div ref={box} className="rows" role="region" aria-label="Items in order" tabIndex={0}>
            <ul style={{ height: rows.getTotalSize() }}>
              {loaded.map(({ index, start, item }) => (
                <Row
                  key={item.key}
                  item={item}
                  top={start}
                  search={search}
                  chosen={item.key === chosen}
                  movable={ordered && stand.can}
                  place={index + 1}
                  total={total}
                />
              ))}
            </ul>
          </div>
        </SortableContext>
      </DndContext>
    </>
  );
}

/** What a screen reader says of a move. */
const screenReaderInstructions = {
  draggable: 'To move the item press Space, then the arrow keys; Space drops it, Escape puts it back.',
};
function announcements(indexOf: (key: UniqueIdentifier | undefined) => number, total: number): Announcements {
  const place = (key: UniqueIdentifier | undefined) => `place ${indexOf(key) + 1} of ${total}`;
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
