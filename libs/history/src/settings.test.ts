import { readSettings } from '@onepass/config';
import { expect, test } from 'vitest';
import { historySettings } from './index.js';

const read = (ONEPASS_HISTORY: string) => readSettings(historySettings, { ONEPASS_HISTORY }).history;

test('LMDB unless a Redis is named', () => {
  expect(read('')).toBe('lmdb');
  expect(read('redis://127.0.0.1:6379')).toEqual({
    nodes: [{ host: '127.0.0.1', port: 6379 }],
    tls: false,
    username: undefined,
    password: undefined,
    database: 0,
  });
  expect(read('rediss://anna:s%40crt@[::1]:7000/3')).toEqual({
    nodes: [{ host: '::1', port: 7000 }],
    tls: true,
    username: 'anna',
    password: 's@crt',
    database: 3,
  });
  expect(read('redis://:pw@a:1,b:2,[::1]:3')).toMatchObject({
    nodes: [
      { host: 'a', port: 1 },
      { host: 'b', port: 2 },
      { host: '::1', port: 3 },
    ],
    username: undefined,
    password: 'pw',
  });
});

test('what is wrong is one sentence, with no password in it', () => {
  const wrong = [
    'mysql://u:secret@h:1',
    'redis://u:secret@h',
    'redis://u:secret@h:99999',
    'redis://u:secret@h:1/x',
    'redis://u:secret@h:1,:2',
    'redis://u:secret@h:1,redis://u:secret@h:2',
    'redis://u:%secret@h:1',
    'redis:secret',
    'secret',
  ];
  for (const raw of wrong) {
    expect(() => read(raw)).toThrow(/^ONEPASS_HISTORY: must be lmdb or redis:\/\/\S+, or rediss:\/\/$/);
  }
  expect(() => read('redis://u:secret@a:1/2,b:2')).toThrow(/^ONEPASS_HISTORY: a Redis Cluster has database 0 only$/);
});
