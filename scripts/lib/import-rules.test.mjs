import { describe, expect, it } from 'vitest'
import { checkImports, findCycles, readImports, resolveImport, roomOf } from './import-rules.mjs'

const DEPENDENCIES = new Set(['commander', '@scope/thing'])
const check = (files, allowed = []) => checkImports(new Map(Object.entries(files)), DEPENDENCIES, allowed)

describe('reading imports', () => {
  it('finds every form of import', () => {
    const source = [
      'import a from \'./a.ts\'', 'import { b, c as d } from "./b.ts"', 'import * as e from \'./e.ts\'', 'import \'./f.ts\'',
      'export * from \'./g.ts\'', 'export { h } from \'./h.ts\'', 'import {', '  i,', '  j,', '} from \'./i.ts\'',
      'const k = await import(\'./k.ts\')', 'type L = import(\'./l.ts\').L',
    ].join('\n')
    expect(readImports(source).map(({ specifier }) => specifier)).toEqual(
      ['./a.ts', './b.ts', './e.ts', './f.ts', './g.ts', './h.ts', './i.ts', './k.ts', './l.ts'])
  })

  it('tells imports of types from imports of values', () => {
    const source = 'import type { A } from \'./a.ts\'\nimport type { B } from \'./b.ts\'\nimport { b } from \'./b.ts\'\n'
    expect(readImports(source)).toEqual([{ specifier: './a.ts', isType: true }, { specifier: './b.ts', isType: false }])
  })

  it('takes neither comments nor other code for imports', () => {
    const source = [
      '// import { a } from \'./a.ts\'', '/*', 'import { b } from \'./b.ts\'', '*/', 'export const url = \'https://x/\'',
      'export function from(text = \'./c.ts\') {}', 'important(\'./d.ts\')',
    ].join('\n')
    expect(readImports(source)).toEqual([])
  })

  it('reads on after a string that looks like a comment', () => {
    expect(readImports('const pattern = \'/*\'\nimport a from \'./a.ts\'')).toEqual([{ specifier: './a.ts', isType: false }])
  })
})

describe('paths', () => {
  it('resolves relative specifiers', () => {
    expect(resolveImport('cpu/isa/row.ts', '../state/layout.ts')).toBe('cpu/state/layout.ts')
    expect(resolveImport('cpu/isa/row.ts', './flags.ts')).toBe('cpu/isa/flags.ts')
    expect(resolveImport('index.ts', '../tools/a.ts')).toBe('../tools/a.ts')
    expect(resolveImport('cpu/a.ts', '../../../a.ts')).toBe('../../a.ts')
  })

  it('names a path\'s room', () => {
    expect([roomOf('cpu/isa/row.ts'), roomOf('index.ts')]).toEqual(['cpu', 'index'])
  })
})

describe('rooms', () => {
  it('lets a room import itself and what is below', () => {
    expect(check({
      'base/errors.ts': '', 'machine/bus.ts': 'import \'../base/errors.ts\'', 'devices/uart.ts': 'import \'../machine/bus.ts\'',
      'vmm/build.ts': 'import \'../devices/uart.ts\'\nimport \'./layout.ts\'', 'vmm/layout.ts': '',
    })).toEqual([])
  })

  it.each([
    ['base', 'machine'], ['machine', 'cpu'], ['cpu', 'devices'], ['devices', 'cpu'], ['storage', 'network'], ['devices', 'vmm'],
    ['vmm', 'host'], ['host', 'cli'], ['host', 'web'], ['cli', 'vmm'], ['cli', 'cpu'], ['host', 'bench'], ['web', 'host'],
  ])('keeps %s from importing %s, even a type', (from, to) => {
    expect(check({ [`${from}/a.ts`]: `import type { B } from '../${to}/b.ts'` })).toEqual(
      [`${from}/a.ts imports ../${to}/b.ts: ${from} may not import ${to}`])
  })

  it('rejects a room that it does not know', () => {
    expect(check({ 'utilities/a.ts': 'import \'../base/b.ts\'' })[0]).toContain('utilities is not a room')
    expect(check({ 'cpu/a.ts': 'import \'../utilities/b.ts\'' })[0]).toContain('cpu may not import utilities')
  })

  it('keeps what is for tests out of what is built', () => {
    expect(check({ 'cpu/a.ts': 'import \'./testing/b.ts\'' })[0]).toContain('for tests only')
    expect(check({ 'cpu/a.test.ts': 'import \'./testing/b.ts\'\nimport \'../../test/c.ts\'' })).toEqual([])
    expect(check({ 'cpu/a.ts': 'import \'../../test/c.ts\'' })[0]).toContain('outside src/')
  })
})

describe('packages', () => {
  it.each(['base', 'machine', 'cpu', 'devices', 'storage', 'network', 'vmm'])('keeps Node and packages out of %s', room => {
    expect(check({ [`${room}/a.ts`]: 'import \'node:fs\'' })).toHaveLength(1)
    expect(check({ [`${room}/a.ts`]: 'import \'commander\'' })).toHaveLength(1)
  })

  it('lets the others import Node\'s modules and the dependencies', () => {
    expect(check({ 'host/a.ts': 'import \'node:fs\'\nimport \'commander\'\nimport \'@scope/thing/part\'' })).toEqual([])
    expect(check({ 'host/a.ts': 'import \'vitest\'' })).toEqual(['host/a.ts imports vitest: vitest is not among the dependencies in package.json'])
  })

  it('lets tests import what they need', () => {
    expect(check({ 'cpu/a.test.ts': 'import \'node:fs\'\nimport \'iced-x86\'', 'cpu/testing/b.ts': 'import \'node:zlib\'' })).toEqual([])
  })
})

describe('exceptions', () => {
  const exception = { from: 'vmm/a.ts', to: '../host/b.ts', why: 'a reason' }

  it('allows just what they name', () => {
    expect(check({ 'vmm/a.ts': 'import \'../host/b.ts\'' }, [exception])).toEqual([])
    expect(check({ 'vmm/a.ts': 'import \'../host/b.ts\'\nimport \'../host/c.ts\'' }, [exception])).toHaveLength(1)
  })

  it('must be used', () => {
    expect(check({ 'vmm/a.ts': '' }, [exception])[0]).toContain('is not used')
  })
})

describe('cycles', () => {
  it('are found among values', () => {
    expect(check({ 'cpu/a.ts': 'import \'./b.ts\'', 'cpu/b.ts': 'import \'./c.ts\'', 'cpu/c.ts': 'import \'./a.ts\'' }))
      .toEqual(['cycle: cpu/a.ts -> cpu/b.ts -> cpu/c.ts -> cpu/a.ts'])
  })

  it('may be of types', () => {
    expect(check({ 'cpu/a.ts': 'import \'./b.ts\'', 'cpu/b.ts': 'import type { A } from \'./a.ts\'' })).toEqual([])
  })

  it('are told apart from two ways to one file', () => {
    expect(findCycles(new Map([['a', ['b', 'c']], ['b', ['d']], ['c', ['d']], ['d', []]]))).toEqual([])
    expect(findCycles(new Map([['a', ['a']]]))).toEqual([['a', 'a']])
  })
})
