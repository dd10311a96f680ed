import { expect, test } from 'vitest';
import { likedAction, plainSurface } from './vocabulary.js';

const action = (name: string, utilityWeight: number, negative = false) => ({ name, negative, utilityWeight });

test('home, else the first surface that needs nothing said, else none', () => {
  expect(plainSurface(['search', 'home'])).toBe('home');
  expect(plainSurface(['related', 'front', 'shelf'])).toBe('front');
  expect(plainSurface(['search', 'related'])).toBeUndefined();
});

test('a save, else the positive action of the largest weight', () => {
  expect(likedAction([action('click', 9), action('save', 1)])).toBe('save');
  expect(likedAction([action('watch', 0.2), action('like', 1), action('dislike', 5, true)])).toBe('like');
  expect(likedAction([action('hide', -1, true)])).toBe('hide');
});
