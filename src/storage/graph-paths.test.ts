import { expect, test } from 'vitest'
import { withPaths, writtenPaths } from './graph-paths.ts'

const GRAPH = {
  kind: 'throttle', group: 'g', requestsPerSecond: 5, node: {
    kind: 'mirror', state: 'state', nodes: [
      'a', { kind: 'file', path: 'b', backing: { kind: 'file', path: 'c' } }, { kind: 'nbd', uri: 'nbd://host/x' },
      { kind: 'tier', map: 'map', fast: { kind: 'dedup', map: 'm', data: 'd' }, slow: { kind: 'stripe', nodes: ['s', 't'], stripeSize: 512 } },
      { kind: 'overlay', base: 'base', top: { kind: 'file', path: 'top', readOnly: true } },
    ],
  },
}

test('all paths of a description are changed, and nothing else', () => {
  const marked = withPaths(GRAPH, path => `/${path}`)
  expect(JSON.stringify(marked)).toBe(JSON.stringify(GRAPH).replaceAll(/"(state|map|path|data|base)":"(\w+)"/g, '"$1":"/$2"')
    .replace('["a"', '["/a"').replace('["s","t"]', '["/s","/t"]'))
  expect(withPaths('x', () => 'y')).toBe('y')
})

test('what is written to is told apart from what is read', () => {
  expect(writtenPaths(GRAPH)).toEqual(['state', 'a', 'b', 'map', 'm', 'd', 's', 't'])
  expect(writtenPaths({ kind: 'stripe', readOnly: true, nodes: ['s'] })).toEqual([])
})

test('what is no description stays as it is', () => {
  const cyclic: { kind: string, node?: unknown } = { kind: 'throttle' }
  cyclic.node = cyclic
  withPaths(cyclic, () => '')
  for (const value of [undefined, null, 5, {}, { kind: 'constructor', path: 'p' }, { kind: 'file', path: 5 }, { kind: 7, path: 'p' }]) {
    expect(withPaths(value, () => 'y')).toEqual(value)
  }
})
