import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { contentOf } from '../images/tree/content.ts'
import type { TreeEntry } from '../images/tree/entries.ts'
import { writeTar } from '../images/formats/tar-writer.ts'
import { copyIn } from './copy-in.ts'
import { copyOut } from './copy-out.ts'
import { parseListing } from './guest-listing.ts'
import { fakeAgent } from './testing/fake-agent.ts'
import { hasRealAgent, startRealAgent } from './testing/real-agent.ts'

const withCode = (code: string, message = /./) => expect.objectContaining({ code, message: expect.stringMatching(message) as string })

/** A folder that is gone after the test. */
function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'tenon-copy-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** What a copy must bear. */
function makeTree(path: string): void {
  mkdirSync(join(path, 'deep/er/empty'), { recursive: true })
  for (const [name, content] of Object.entries({
    'text': 'hello\n', 'empty file': '', '-n': 'a name like an option', 'ä\n"$(x)': 'an odd name', 'deep/er/exact': 'x'.repeat(512),
    'deep/large': 'large'.repeat(200_000), [`deep/${'l'.repeat(200)}`]: 'long',
  })) writeFileSync(join(path, name), content)
  for (let number = 0; number < 60; number++) writeFileSync(join(path, `deep/${number}`), `${number}`.repeat(number * 30))
  chmodSync(join(path, 'text'), 0o750)
  chmodSync(join(path, '-n'), 0o444)
  symlinkSync('text', join(path, 'link'))
  symlinkSync('/nowhere/at/all', join(path, 'deep/dangling'))
  execFileSync('ln', [join(path, 'text'), join(path, 'deep/hard')])
}

function expectSame(a: string, b: string): void {
  execFileSync('diff', ['-r', '--no-dereference', a, b])
  const names = readdirSync(a, { recursive: true }) as string[]
  for (const name of names) {
    const [one, two] = [lstatSync(join(a, name)), lstatSync(join(b, name))]
    if (!one.isSymbolicLink()) expect([name, (two.mode & 0o777).toString(8)]).toEqual([name, (one.mode & 0o777).toString(8)])
  }
}

describe.skipIf(!hasRealAgent)('with the real qemu-ga', () => {
  let real: Awaited<ReturnType<typeof startRealAgent>>
  beforeAll(async () => { real = await startRealAgent() })
  afterAll(() => real.stop())

  test('folders come back as they went', async () => {
    const [source, guest, back] = [folder(), folder(), folder()]
    makeTree(source)
    execFileSync('mkfifo', [join(source, 'pipe')])
    const told: number[] = []
    const sent = await copyIn(real.client, source, join(guest, 'new'), { onProgress: ({ bytes }) => told.push(bytes) })
    expect(sent.skipped).toEqual([`${join(source, 'pipe')}: it is no file, folder or link`])
    rmSync(join(source, 'pipe'))
    expectSame(source, join(guest, 'new'))
    execFileSync('mkfifo', [join(guest, 'new/pipe')])
    const received = await copyOut(real.client, join(guest, 'new'), back)
    expect(received.skipped).toEqual(['"pipe": it is no file, folder or link'])
    expectSame(source, join(back, 'new'))
    expect([sent.files, sent.bytes, told.at(-1)]).toEqual([received.files, received.bytes, sent.bytes])
    // Once more, over what is there.
    await copyIn(real.client, `${source}/.`, join(guest, 'new'))
    await copyOut(real.client, `${guest}/new/.`, join(back, 'new'))
    expectSame(source, join(back, 'new'))
  }, 60_000)

  test('files go to names and into folders, whole', async () => {
    const [here, guest] = [folder(), folder()]
    const bytes = Buffer.from(Array.from({ length: 700_001 }, (_, index) => index % 253))
    writeFileSync(join(here, 'data'), bytes)
    chmodSync(join(here, 'data'), 0o640)
    await copyIn(real.client, join(here, 'data'), guest)
    await copyIn(real.client, join(here, 'data'), join(guest, 'other'))
    expect(readFileSync(join(guest, 'data')).equals(bytes)).toBe(true)
    expect((lstatSync(join(guest, 'other')).mode & 0o777).toString(8)).toBe('640')
    symlinkSync('/etc/hostname', join(here, 'back'))
    await copyOut(real.client, join(guest, 'other'), join(here, 'back'))
    expect(readFileSync(join(here, 'back')).equals(bytes)).toBe(true)
    expect(readdirSync(guest).sort()).toEqual(['data', 'other'])
    expect(readdirSync(here).sort()).toEqual(['back', 'data'])
  })

  test('what cannot be copied is said', async () => {
    const [here, guest] = [folder(), folder()]
    writeFileSync(join(here, 'file'), 'x')
    const cases: [() => Promise<unknown>, RegExp][] = [
      [() => copyIn(real.client, join(here, 'none'), guest), /none on this computer cannot be used: it is not there/],
      [() => copyIn(real.client, join(here, 'file'), 'relative'), /"relative" is no path in the guest/],
      [() => copyIn(real.client, join(here, 'file'), '/nowhere/x/y'), /no folder \/nowhere\/x in the guest/],
      [() => copyIn(real.client, join(here, 'file'), `${guest}/new/`), /there is no folder .*new\/ in the guest/],
      [() => copyIn(real.client, here, '/etc/hostname'), /is a folder, and \/etc\/hostname in the guest is not/],
      [() => copyIn(real.client, '/dev/null', guest), /neither a file nor a folder/],
      [() => copyOut(real.client, '/nowhere/x', here), /no \/nowhere\/x in the guest/],
      [() => copyOut(real.client, '/dev/null', here), /neither a file nor a folder/],
      [() => copyOut(real.client, '/etc/hostname', join(here, 'a/b')), /b on this computer cannot be used: it is not there/],
      [() => copyOut(real.client, guest, join(here, 'file')), /is a folder, and .*file is not/],
    ]
    for (const [copy, message] of cases) await expect(copy()).rejects.toEqual(withCode('COPY_FAILED', message))
    expect([readdirSync(here), readdirSync(guest)]).toEqual([['file'], []])
  })

  test('an abort leaves nothing half done', async () => {
    const [here, guest] = [folder(), folder()]
    writeFileSync(join(here, 'large'), Buffer.alloc(3 << 20))
    const abort = new AbortController()
    const onProgress = (): void => abort.abort(new Error('enough'))
    await expect(copyIn(real.client, join(here, 'large'), guest, { signal: abort.signal, onProgress })).rejects.toThrow('enough')
    expect(readdirSync(guest)).toEqual([])
  })
})

describe('a guest that lies', () => {
  let target: string
  beforeEach(() => { target = folder() })

  const listing = (...lines: string[]): string => lines.map(line => `${line}\0`).join('')

  /** A guest whose folder is listed so, and whose tar gives these entries. */
  async function copyFrom(list: string, entries: readonly TreeEntry[]): Promise<unknown> {
    const archive: Uint8Array[] = []
    for await (const chunk of writeTar(entries)) archive.push(chunk)
    let program = ''
    let read = 0
    const { client } = fakeAgent(({ execute, arguments: takes }) => {
      const ended = (output: Uint8Array | string): object => ({ return: { exited: true, exitcode: 0, 'out-data': Buffer.from(output).toString('base64') } })
      if (execute === 'guest-exec') {
        program = JSON.stringify([takes.path, takes.arg])
        return { return: { pid: 1 } }
      }
      if (execute === 'guest-exec-status') return ended(program.includes('mktemp') ? '/tmp/x\n' : program.includes('stat -L') ? 'folder 0 0\n' : program.startsWith('["tar"') ? Buffer.concat(archive) : '')
      if (execute === 'guest-file-open') return { return: String(takes.path).endsWith('out') ? 1 : 2 }
      if (execute !== 'guest-file-read') return execute === 'guest-sync-delimited' ? undefined : { return: {} }
      const bytes = takes.handle === 1 && read++ === 0 ? Buffer.from(list) : Buffer.alloc(0)
      return { return: { count: bytes.length, 'buf-b64': bytes.toString('base64'), eof: true } }
    })
    return copyOut(client, '/evil', target)
  }

  const owner = { permissions: 0o644, uid: 0, gid: 0, modified: 0 }
  const file = (path: string, data = 'evil'): TreeEntry => ({ ...owner, kind: 'file', path, content: contentOf(data) })
  const link = (path: string, to: string): TreeEntry => ({ ...owner, kind: 'symlink', path, target: to })

  test.each([
    ['climbs', 'f 644 4 ../evil'], ['is absolute', 'f 644 4 /etc/evil'], ['climbs inside', 'd 755 0 a\0f 644 4 a/../../evil'], ['is empty', 'f 644 4 '],
    ['has no folder', 'f 644 4 a/evil'], ['is below a link', 'l 777 0 a\0f 644 4 a/evil'], ['is below a file', 'f 644 0 a\0f 644 4 a/evil'],
    ['is there twice', 'f 644 4 a\0l 777 0 a'], ['is too long', `f 644 4 ${'x'.repeat(300)}`], ['has no size', 'f 644 a'], ['does not end', 'f 644 4 a\0f 644'],
  ])('about a path that %s is refused before anything is made', async (_, lines) => {
    const list = lines.endsWith('644') ? lines : listing(lines)
    await expect(copyFrom(list, [file('evil')])).rejects.toEqual(withCode('AGENT_PROTOCOL', /nothing of it is copied/))
    expect(readdirSync(target)).toEqual([])
  })

  test('by its archive gets nothing written but what was listed', async () => {
    const result = await copyFrom(listing('f 644 4 good', 'f 644 4 swapped', 'l 777 0 link'), [
      file('other'), link('swapped', '/etc'), file('good', 'once'), file('good', 'twice'), link('link', '/etc/passwd'),
    ])
    expect(result).toMatchObject({ skipped: ['swapped: it vanished, or cannot be read'] })
    expect(readdirSync(join(target, 'evil')).sort()).toEqual(['good', 'link'])
    expect([readFileSync(join(target, 'evil/good'), 'utf8'), readlinkSync(join(target, 'evil/link'))]).toEqual(['once', '/etc/passwd'])
    await expect(copyFrom(listing('f 644 4 good'), [{ ...file('good'), path: '../../climbs' }])).rejects.toEqual(withCode('AGENT_PROTOCOL'))
  })

  test('about links of an earlier copy does not write through them', async () => {
    const outside = folder()
    await copyFrom(listing('l 777 0 a', 'l 777 0 f'), [link('a', outside), link('f', join(outside, 'f'))])
    await expect(copyFrom(listing('d 755 0 a', 'f 644 4 a/evil'), [file('a/evil')])).rejects.toEqual(withCode('COPY_FAILED', /is no folder/))
    await copyFrom(listing('f 644 4 f'), [file('f')])
    expect([readdirSync(outside), lstatSync(join(target, 'evil/f')).isFile()]).toEqual([[], true])
    rmSync(join(target, 'evil'), { recursive: true })
    symlinkSync(outside, join(target, 'evil'))
    await expect(copyFrom(listing('f 644 4 f'), [file('f')])).rejects.toEqual(withCode('COPY_FAILED', /symbolic link/))
    expect(existsSync(join(outside, 'f'))).toBe(false)
  })
})

test('random listings are refused, or stay inside', () => {
  let seed = 11
  const random = (below: number): number => (seed = seed * 1103515245 + 12345 & 0x7fffffff) % below
  const scraps = ['f 644 4 ', 'd 755 0 ', 'l 777 0 ', 'p 644 0 ', 'a', 'b', '/', '..', '.', '\0', ' ', '\xff', 'f', '\n', '99999999999999999 ']
  for (let round = 0; round < 2_000; round++) {
    const text = Array.from({ length: random(14) }, () => scraps[random(scraps.length)]).join('')
    try {
      for (const { path } of parseListing(Buffer.from(text, 'latin1'), () => {})) expect(path).toMatch(/^(?!\.{0,2}(\/|$))[^/]+(\/(?!\.{0,2}(\/|$))[^/]+)*$/)
    } catch (error) {
      expect(error).toEqual(withCode('AGENT_PROTOCOL'))
    }
  }
})
