import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createGuest } from '../host/guests/create-guest.ts'
import { parseGuestFile } from '../host/guests/guest-file.ts'
import { GuestStore } from '../host/guests/guest-store.ts'
import { checkLines, infoLines } from './disk-report.ts'
import { Quit } from './errors.ts'
import { parseCommandLine } from './program.ts'
import type { Surroundings } from './surroundings.ts'

const usage = expect.objectContaining({ code: 'USAGE' })
let folder: string

beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'tenon-cli-')) })
afterEach(() => rmSync(folder, { recursive: true }))

const request = (...argv: string[]): unknown => parseCommandLine(['disk', ...argv], '0').request

async function tenon(argv: readonly string[], quit = new AbortController(), environment = {}): Promise<{ status: number, stdout: string, stderr: string }> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const surroundings = { stdout, stderr, environment, quit } as unknown as Surroundings
  const status = await parseCommandLine(['disk', ...argv], '0').perform(surroundings)
  return { status, stdout: String(stdout.read() ?? ''), stderr: String(stderr.read() ?? '') }
}

test('command lines say what is to be done', () => {
  expect(request('create', 'a', '--size', '10G', '--thick', '-f', 'raw')).toEqual({ file: 'a', size: 10 * 2 ** 30, thick: true, format: 'raw' })
  expect(request('create', 'a', '-b', 'b', '--backing-format', 'vpc')).toEqual({ file: 'a', backing: 'b', backingFormat: 'vpc' })
  expect(request('convert', '-c', 'a', 'b', '--force')).toEqual({ source: 'a', target: 'b', compress: true, force: true })
  expect(request('check', 'a', '--repair')).toEqual({ file: 'a', repair: 'all' })
  expect(request('check', 'a', '-r', 'leaks', '--json')).toEqual({ file: 'a', repair: 'leaks', json: true })
  expect(request('resize', 'a', '--size', '+1.5G')).toEqual({ file: 'a', size: { by: 1.5 * 2 ** 30 } })
  expect(request('resize', 'a', '--size', '-512K', '--shrink')).toEqual({ file: 'a', size: { by: -524_288 }, shrink: true })
  expect(request('resize', 'a', '-s', '1024')).toEqual({ file: 'a', size: { to: 1024 } })
  expect(request('snapshot', 'apply', 'a', 'b')).toEqual({ action: 'apply', file: 'a', name: 'b' })
  expect(request('snapshot', 'create', 'guest:web', 'b', '--force')).toEqual({ action: 'create', file: 'guest:web', name: 'b', force: true })
  expect(request('snapshot', 'list', 'a', '--json')).toEqual({ action: 'list', file: 'a', name: '', json: true })
  expect(request('serve', 'a', '-p', '0', '-r', '--name', 'x')).toEqual({ file: 'a', port: 0, readonly: true, name: 'x' })
})

test.each([
  [['create', 'a']], [['create', 'a', '--size', '1000']], [['create', 'a', '--size', 'big']], [['create', 'a', '--size', '1G', 'b']], [['create', 'a', '-b', 'b', '--thick']],
  [['resize', 'a']], [['resize', 'a', '--size', '+x']], [['check', 'a', '-r', 'some']], [['serve', 'a', '--port', '70000']], [['serve', 'a', '--port', '1', '--socket', 's']],
  [['snapshot', 'create', 'a']], [['nonsense']], [['info', 'a', '--', 'b']], [['create', 'a', '--size', '9000000000000000T']],
])('disk %j is misuse', (argv) => {
  expect(() => request(...argv)).toThrow(usage)
})

test('help has examples, and every command explains itself', () => {
  const help = (...argv: string[]): string => (request(...argv) as { text: string }).text
  expect(help('--help')).toContain('tenon disk convert')
  for (const command of ['create', 'info', 'convert', 'check', 'resize', 'snapshot', 'compact', 'serve']) expect(help(command, '--help')).toContain('Usage: tenon disk')
})

test('a disk goes through its life', async () => {
  const file = join(folder, 'a.qcow2')
  expect(await tenon(['create', file, '--size', '64M'])).toEqual({ status: 0, stdout: '', stderr: `tenon: made ${file}: qcow2, 64 MiB\n` })
  expect((await tenon(['info', file])).stdout.split('\n').slice(0, 3)).toEqual([
    `disk      ${file}`, 'format    qcow2, version 3, clusters of 64 KiB', 'size      64 MiB (67108864 bytes)',
  ])
  expect(JSON.parse((await tenon(['info', file, '--json'])).stdout)).toMatchObject({ format: 'qcow2', size: 67_108_864 })
  await tenon(['snapshot', 'create', file, 'first'])
  expect((await tenon(['snapshot', 'list', file])).stdout).toMatch(/^ID {2}NAME {3}TAKEN {21}SIZE\n1 {3}first {2}\S+ {2}64 MiB\n$/)
  expect((await tenon(['resize', file, '--size', '+64M'])).stderr).toContain('has 128 MiB now, 64 MiB before')
  expect(await tenon(['check', file])).toMatchObject({ status: 0, stdout: `${file}: no errors\nqcow2, 0 bytes of 128 MiB are data (0 %)\n` })
  expect(JSON.parse((await tenon(['check', file, '--json'])).stdout)).toMatchObject({ errorCount: 0 })
  await tenon(['convert', file, join(folder, 'b.vmdk')])
  await tenon(['snapshot', 'apply', file, '1'])
  await tenon(['snapshot', 'delete', file, 'first'])
  await tenon(['compact', file])
  await expect(tenon(['create', file, '--size', '1M'])).rejects.toMatchObject({ code: 'DISK_EXISTS' })
  await expect(tenon(['create', join(folder, 'c'), '--size', '1M', '-f', 'vdi'])).rejects.toMatchObject({ code: 'DISK_UNSUPPORTED' })
  expect(readdirSync(folder).sort()).toEqual(['a.qcow2', 'b.vmdk'])
})

test('guest:NAME stands for all disks of a named guest', async () => {
  const home = join(folder, 'home')
  const data = join(folder, 'data.qcow2')
  await tenon(['create', data, '--size', '1M'])
  const store = new GuestStore(home)
  const definition = `kernel: /nowhere\ndisks: [ ${data}, { kind: file, path: ${data}, readOnly: true } ]\n`
  await createGuest(store, 'web', await parseGuestFile(definition, 'guest.yaml'))
  const guest = (...argv: string[]): ReturnType<typeof tenon> => tenon(['snapshot', ...argv], new AbortController(), { TENON_HOME: home })
  expect((await guest('create', 'guest:web', 'first')).stderr).toBe('tenon: web as it is now is its snapshot first\n')
  expect((await guest('list', 'guest:web')).stdout).toMatch(/^NAME {3}TAKEN {21}SIZE {3}DISK\nfirst {2}\S+ {2}1 MiB {2}\S+data.qcow2\n$/)
  expect(JSON.parse((await guest('list', 'guest:web', '--json')).stdout)).toMatchObject([{ disk: data, id: '1', name: 'first' }])
  expect((await guest('apply', 'guest:web', 'first')).stderr).toContain('has the disks of its snapshot first')
  await guest('delete', 'guest:web', 'first')
  await expect(guest('delete', 'guest:web', 'first')).rejects.toMatchObject({ code: 'DISK_NOT_FOUND' })
  await expect(guest('create', 'guest:none', 'x')).rejects.toMatchObject({ code: 'GUEST_UNKNOWN' })
  await expect(guest('create', 'guest:../x', 'x')).rejects.toMatchObject({ code: 'GUEST_NAME_INVALID' })
})

test('a disk is served until the end is wished', async () => {
  const file = join(folder, 'a.qcow2')
  await tenon(['create', file, '--size', '1M'])
  const quit = new AbortController()
  const stderr = new PassThrough()
  const served = parseCommandLine(['disk', 'serve', file, '--port', '0'], '0').perform({ stderr, quit } as unknown as Surroundings)
  const [line] = await stderr.take(1).toArray() as [Buffer]
  const uri = /nbd:\/\/127\.0\.0\.1:\d+\//.exec(String(line))?.[0] ?? ''
  expect((await tenon(['info', uri])).stdout).toContain('format    nbd\nsize      1 MiB')
  await tenon(['convert', uri, join(folder, 'copy.raw')])
  quit.abort(new Quit(130))
  await expect(served).rejects.toMatchObject({ status: 130 })
})

test('names from files of others cannot move the terminal\'s cursor', () => {
  const lines = infoLines({ path: 'a', format: 'qcow2', size: 512, backing: { reference: '\u001b[2J\u202e', format: null, problem: 'no\u0007' } })
  expect(lines.join('|')).toBe('disk      a|format    qcow2|size      512 bytes (512 bytes)|backing   \\u{1b}[2J\\u{202e}, of a format that is not said|  cannot be shown: no\\u{7}')
})

test('a check\'s report counts what it leaves out', () => {
  const report = { path: 'a', format: 'qcow2', errors: ['one'], errorCount: 3, leaks: 2, repaired: 1, size: 1024, data: 512, compressed: 512 }
  expect(checkLines(report)).toEqual([
    'error: one', 'and 2 errors more', '2 clusters are lost room: --repair leaks gives it back', '1 were repaired', 'a: 3 errors',
    'qcow2, 512 bytes of 1 KiB are data (50 %), 512 bytes of it compressed',
  ])
})
