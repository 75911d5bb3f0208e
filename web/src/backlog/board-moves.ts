import {
  KeyboardCode,
  type Announcements,
  type CollisionDetection,
  type KeyboardCoordinateGetter,
} from '@dnd-kit/core';
import { statesOf, type ItemStatus } from '../../../domain/machines';
import { labelOf } from '../format';

/** How a card is moved over the board, by mouse and by keyboard, and what a screen reader says of it. */
export const statuses = statesOf('backlogItem');
export const columnId = (status: ItemStatus): string => `column ${status}`;

/** Over which column it is, and in its own column over which card. */
export const within: CollisionDetection = ({
  active,
  collisionRect,
  droppableContainers,
  droppableRects,
  pointerCoordinates,
}) => {
  const x = pointerCoordinates?.x ?? collisionRect.left + collisionRect.width / 2;
  const y = pointerCoordinates?.y ?? collisionRect.top + collisionRect.height / 2;
  const near = droppableContainers.flatMap((container) => {
    const rect = droppableRects.get(container.id);
    return rect && x >= rect.left && x <= rect.right ? [{ container, rect }] : [];
  });
  const column = near.find(({ container }) => String(container.id).startsWith('column '));
  if (!column) return [];
  const status = column.container.data.current?.status as ItemStatus;
  if (status !== active.data.current?.status) return [{ id: column.container.id }];
  const cards = near
    .filter((one) => one !== column)
    .map((one) => ({ ...one, away: Math.abs(one.rect.top + one.rect.height / 2 - y) }))
    .sort((a, b) => a.away - b.away);
  return cards[0] ? [{ id: cards[0].container.id }] : [];
};

/** Arrows go to the next column, or to the next card of this one. */
export const arrows: KeyboardCoordinateGetter = (event, { currentCoordinates: at, context }) => {
  const rectOf = (id: string) => context.droppableRects.get(id);
  const places = statuses.map((status) => rectOf(columnId(status))).filter((rect) => rect !== undefined);
  const width = context.collisionRect?.width ?? 0;
  const here = places.findIndex((rect) => at.x + width / 2 >= rect.left && at.x + width / 2 <= rect.right);
  const to = (n: number) => {
    const rect = places[n];
    return rect ? { x: rect.left + (rect.width - width) / 2, y: Math.max(at.y, rect.top) } : undefined;
  };
  switch (event.code as KeyboardCode) {
    case KeyboardCode.Right:
      return to(here + 1);
    case KeyboardCode.Left:
      return to(here - 1);
    case KeyboardCode.Down:
    case KeyboardCode.Up: {
      const down = event.code === 'ArrowDown';
      const tops = [...context.droppableRects]
        .filter(([id]) => !String(id).startsWith('column '))
        .map(([, rect]) => rect)
        .filter((rect) => Math.abs(rect.left - at.x) < width / 2)
        .map(({ top }) => top)
        .filter((top) => (down ? top > at.y + 1 : top < at.y - 1))
        .sort((a, b) => (down ? a - b : b - a));
      return tops[0] === undefined ? undefined : { x: at.x, y: tops[0] };
    }
    default:
      return undefined;
  }
};

export const screenReaderInstructions = {
  draggable:
    'To move the item press Space; the arrows left and right change its status, up and down its rank; Space drops it, Escape puts it back.',
};
const placeOf = (over: { id: unknown; data: { current?: Record<string, unknown> } } | null) =>
  over === null
    ? 'no column'
    : String(over.id).startsWith('column ')
      ? labelOf('backlogItem', over.data.current!.status as string)
      : `the place of ${String(over.id)}`;
export const announcements: Announcements = {
  onDragStart: ({ active }) => `${active.id} is lifted.`,
  onDragOver: ({ active, over }) => `${active.id} is over ${placeOf(over)}.`,
  onDragEnd: ({ active, over }) => `${active.id} is dropped on ${placeOf(over)}.`,
  onDragCancel: ({ active }) => `${active.id} is put back.`,
};
