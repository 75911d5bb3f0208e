import { insteadOf } from '../../domain/nearest';

it('names all of a few, and of many those that may have been meant', () => {
  expect(insteadOf('shp', ['shop', 'kiosk'])).toBe('There are: shop, kiosk.');
  expect(insteadOf('shp', [])).toBe('There are: none.');
  const many = [...Array.from({ length: 205 }, (_, n) => `service-${n}`), 'shop', 'shops'];
  expect(insteadOf('shp', many)).toBe('Nearest of 207: shop, shops, service-0.');
});
