import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { randomOf } from '../testing/random.ts'
import { resolvePackages } from './resolver.ts'
import { catalogueOf } from './testing/catalogue.ts'

const hasApt = spawnSync('apt-get', ['--version']).status === 0

async function resolve(text: string, ...wishes: string[]): Promise<string[]> {
  return resolvePackages(await catalogueOf(text), wishes).packages.map(({ name }) => name)
}

function unresolvable(pattern: RegExp): unknown {
  return expect.objectContaining({ code: 'PACKAGES_UNRESOLVABLE', message: expect.stringMatching(pattern) as string })
}

test('takes what is wished for, then dependencies, depth first', async () => {
  expect(await resolve('a\nDepends: b, c\n\nb\nDepends: d\n\nc\n\nd\n\ne', 'a')).toEqual(['a', 'b', 'd', 'c'])
})

test('takes the first alternative, unless another is there already', async () => {
  const text = 'a\nDepends: x | y\n\nx\n\ny'
  expect(await resolve(text, 'a')).toEqual(['a', 'x'])
  expect(await resolve(text, 'a', 'y')).toEqual(['a', 'y'])
})

test('takes the newest version, and providers of the highest priority', async () => {
  const catalogue = await catalogueOf('m 1\nProvides: mta\n\nm 3\n\nm 2\nProvides: mta\n\nn\nProvides: mta\n\no\nProvides: mta\nPriority: important\n\na\nDepends: mta')
  expect(catalogue.find('m')!.version).toBe('3')
  expect(resolvePackages(catalogue, ['a']).packages.map(({ name }) => name)).toEqual(['a', 'o'])
})

test('a versioned dependency is met by a versioned Provides only', async () => {
  expect(await resolve('a\nDepends: v (>= 2)\n\nx\nProvides: v\n\ny\nProvides: v (= 2)', 'a')).toEqual(['a', 'y'])
})

test('a dependency on an architecture is met by that one alone', async () => {
  expect(await resolve('a\nDepends: b:any, c:amd64\n\nb\n\nc', 'a')).toEqual(['a', 'b', 'c'])
  await expect(resolve('a\nDepends: b:i386\n\nb', 'a')).rejects.toEqual(unresolvable(/a needs b:i386/))
})

test('goes round a conflict, and back to an earlier choice', async () => {
  const text = 'a\nDepends: x | y, z\n\nx\n\ny\n\nz\nConflicts: x'
  expect(await resolve(text, 'a')).toEqual(['a', 'y', 'z'])
  expect(await resolve('a\nDepends: x | y\n\nx\nDepends: none\n\ny', 'a')).toEqual(['a', 'y'])
})

test('a package may conflict with what it provides itself', async () => {
  expect(await resolve('a\nProvides: mta\nConflicts: mta\n\nb\nDepends: mta', 'b', 'a')).toEqual(['b', 'a'])
})

test('cycles are no problem', async () => {
  expect(await resolve('a\nDepends: b\n\nb\nPre-Depends: a', 'b')).toEqual(['b', 'a'])
})

test.each([
  ['a package that there is not', 'openssh-server\n\nbash', 'openssh-sever', /no package openssh-sever; names like it are openssh-server\./],
  ['a virtual package', 'm\nProvides: mta', 'mta', /no package mta, but it is provided by m/],
  ['a dependency that there is not', 'a\nDepends: b\n\nb\nDepends: lib', 'a', /b \(needed by a\) needs lib, which no source has: there is no package lib/],
  ['a version that there is not', 'a\nDepends: b (>= 2)\n\nb 1', 'a', /a needs b \(>= 2\), which no source has: b is there in version 1/],
  ['a conflict', 'a\nDepends: b, c\n\nb\n\nc\nBreaks: b (<< 2)', 'a', /a needs c, but c and b \(b \(needed by a\)\) exclude each other: c 1 breaks b \(<< 2\), and there is b 1/],
  ['wishes that conflict', 'a\nConflicts: b\n\nb', 'a b', /b and a \(a\) exclude each other: a 1 conflicts b/],
])('explains %s', async (_, text, wishes, pattern) => {
  await expect(resolve(text, ...wishes.split(' '))).rejects.toEqual(unresolvable(pattern))
})

test('ends in a catalogue made to be hard', async () => {
  const pairs = Array.from({ length: 30 }, (_, index) => [`x${index}`, `y${index}`])
  const text = [
    `a\nDepends: ${pairs.map(pair => pair.join(' | ')).join(', ')}, none`, ...pairs.flat(),
  ].join('\n\n')
  await expect(resolve(text, 'a')).rejects.toEqual(unresolvable(/a needs none, which no source has/))
})

/** Random archives without conflicts and versions, in which apt's choice is defined by order alone. */
test.skipIf(!hasApt)('chooses what apt chooses', async () => {
  const random = randomOf(7)
  const count = 60
  const name = (number: number): string => `p${String(number).padStart(2, '0')}`
  const relation = (): string => Array.from({ length: 1 + random(2) }, () => (random(8) === 0 ? `v${random(5)}` : name(random(count)))).join(' | ')
  const packages = Array.from({ length: count }, (_, number) => {
    const depends = Array.from({ length: random(4) }, relation).join(', ')
    return `${name(number)} 1${depends === '' ? '' : `\nDepends: ${depends}`}${number < 5 ? `\nProvides: v${number}` : ''}`
  })
  const text = packages.join('\n\n')
  const catalogue = await catalogueOf(text)
  const apt = new FakeApt(text)
  try {
    for (let round = 0; round < 6; round++) {
      const wishes = [name(random(count)), name(random(count))]
      const ours = resolvePackages(catalogue, wishes).packages.map(each => each.name).sort()
      expect(ours, wishes.join()).toEqual(apt.choose(wishes))
    }
  } finally {
    apt.remove()
  }
})

class FakeApt {
  readonly #root = mkdtempSync(join(tmpdir(), 'tenon-apt-'))

  constructor(text: string) {
    for (const path of ['repository', 'etc/apt/apt.conf.d', 'etc/apt/preferences.d', 'lists/partial', 'cache/archives/partial']) {
      mkdirSync(join(this.#root, path), { recursive: true })
    }
    const index = text.split('\n\n').map(stanza => stanza.replace(/^(\S+) (\S+)/, 'Package: $1\nVersion: $2\nArchitecture: amd64')
      + `\nMaintainer: x\nDescription: x\nFilename: ./x.deb\nSize: 1\nSHA256: ${'0f'.repeat(32)}\n`)
    this.#write('repository/Packages', index.join('\n'))
    this.#write('status', '')
    this.#write('etc/apt/sources.list', `deb [trusted=yes] file:${this.#root}/repository ./\n`)
    this.#write('apt.conf', `Dir "${this.#root}"; Dir::State::status "${this.#root}/status"; Dir::State::lists "lists"; Dir::State "";`
      + ' Dir::Cache "cache"; APT::Architecture "amd64"; APT::Architectures { "amd64"; }; APT::Sandbox::User "root";')
    this.#run('update')
  }

  choose(wishes: readonly string[]): string[] {
    const output = this.#run('-s', '--no-install-recommends', 'install', ...wishes)
    return [...output.matchAll(/^Inst (\S+)/gm)].map(([, name]) => name).sort()
  }

  remove(): void {
    rmSync(this.#root, { recursive: true })
  }

  #run(...words: string[]): string {
    const { stdout, stderr, status } = spawnSync('apt-get', words, { encoding: 'utf8', env: { ...process.env, APT_CONFIG: join(this.#root, 'apt.conf'), LC_ALL: 'C' } })
    if (status !== 0) throw new Error(`apt-get ${words.join(' ')}: ${stderr}`)
    return stdout
  }

  #write(path: string, text: string): void {
    writeFileSync(join(this.#root, path), text)
  }
}
