import { expect, test } from 'vitest';
import { placesOf } from '../../../scripts/places.ts';

test('data live in the checkout, or elsewhere if its path contains a space', () => {
  expect(placesOf('/src/afterword/', {}).data).toBe('/src/afterword/.afterword');
  const { checkout, data } = placesOf('/My Projects/afterword/', { XDG_DATA_HOME: '/data' });
  expect(data).toBe(`/data/${checkout}`);
  expect(placesOf('/My Projects/afterword/', { XDG_DATA_HOME: '/My Data' }).data).not.toMatch(/\s/);
  expect(placesOf('/My Projects/other/', {}).data).toMatch(/\/\.local\/share\/afterword-[0-9a-f]{8}$/);
});

test('no two checkouts share a name', () => {
  expect(placesOf('/a/', {}).checkout).not.toBe(placesOf('/b/', {}).checkout);
});
