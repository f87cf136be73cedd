import { expect, test } from 'vitest'
import { KINDS } from './kinds.ts'
import { pathsOf, withDisks, withPaths, writtenPaths } from './graph-paths.ts'

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

test('disks are replaced, and stay read-only', () => {
  const other = (path: string): object | undefined => (path.endsWith('!') ? { kind: 'memory', size: 5 } : undefined)
  const file = { kind: 'file', path: 'b!' }
  expect(withDisks({ kind: 'stripe', nodes: ['a!', 'a', { ...file, readOnly: true }, { ...file, format: 'raw' }, { kind: 'dedup', map: 'm!', data: 'd' }] }, other)).toEqual({
    kind: 'stripe', nodes: [
      { kind: 'memory', size: 5 }, 'a', { kind: 'memory', size: 5, readOnly: true }, { ...file, format: 'raw' }, { kind: 'dedup', map: 'm!', data: 'd' },
    ],
  })
})

test('every kind is known here: each path of the widest description of it is found', () => {
  const found = { memory: 0, overlay: 2, stripe: 1, mirror: 2, dedup: 2, tier: 3, throttle: 1 }
  const fields = Object.fromEntries(['base', 'top', 'state', 'map', 'data', 'fast', 'slow', 'node'].map(name => [name, name]))
  expect(Object.fromEntries(Object.keys(KINDS).map(kind => [kind, pathsOf({ kind, ...fields, nodes: ['n'] }).length]))).toEqual(found)
})

test('what is no description stays as it is', () => {
  const cyclic: { kind: string, node?: unknown } = { kind: 'throttle' }
  cyclic.node = cyclic
  withPaths(cyclic, () => '')
  for (const value of [undefined, null, 5, {}, { kind: 'constructor', path: 'p' }, { kind: 'file', path: 5 }, { kind: 7, path: 'p' }]) {
    expect(withPaths(value, () => 'y')).toEqual(value)
  }
})
