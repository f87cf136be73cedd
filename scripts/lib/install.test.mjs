import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { isInstalled } from './install.mjs'
import { ROOT } from './run.mjs'

describe('isInstalled', () => {
  const lock = { packages: { '': { version: '1.0.0' }, 'node_modules/a': { version: '2.0.0' }, 'node_modules/b': { version: '3.0.0', optional: true } } }
  const installed = packages => isInstalled(lock, { packages })

  it('wants each package in its version', () => {
    expect(installed({ 'node_modules/a': { version: '2.0.0' }, 'node_modules/b': { version: '3.0.0' } })).toBe(true)
    expect(installed({ 'node_modules/a': { version: '2.0.1' } })).toBe(false)
    expect(installed({})).toBe(false)
  })

  it('does without optional packages, but not with others of them', () => {
    expect(installed({ 'node_modules/a': { version: '2.0.0' } })).toBe(true)
    expect(installed({ 'node_modules/a': { version: '2.0.0' }, 'node_modules/b': { version: '2.0.0' } })).toBe(false)
  })
})

describe('package-lock.json', () => {
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'))

  it('has the programs of every platform', () => {
    const wanted = Object.values(packages).flatMap(({ optionalDependencies = {} }) => Object.keys(optionalDependencies))
    expect(wanted.length).toBeGreaterThan(50)
    expect(wanted.filter(name => packages[`node_modules/${name}`]?.version === undefined)).toEqual([])
  })
})
