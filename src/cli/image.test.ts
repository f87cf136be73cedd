import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { scriptedMachine } from '../host/guest/testing/scripted-machine.ts'
import type { ScriptedGuest } from '../host/guest/testing/scripted-machine.ts'
import { PARTITION_IDS, writeSystemDisk } from '../host/images/disks/testing/system-disk.ts'
import { imageLines, imageTable } from './image-report.ts'
import { parseCommandLine } from './program.ts'
import type { Surroundings } from './surroundings.ts'

const usage = expect.objectContaining({ code: 'USAGE' })
let folder: string
const at = (name: string): string => join(folder, name)

beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'tenon-cli-')) })
afterEach(() => rmSync(folder, { recursive: true }))

async function tenon(argv: readonly string[], guest: (guest: ScriptedGuest) => Promise<void> | void = () => {}): Promise<{ status: number, stdout: string, stderr: string }> {
  const [stdin, stdout, stderr] = [new PassThrough().end(), new PassThrough(), new PassThrough()]
  const surroundings = { stdin, stdout, stderr, environment: { TENON_CACHE: at('cache') }, quit: new AbortController(), startMachine: scriptedMachine(guest), version: '0' }
  const status = await parseCommandLine(argv, '0').perform(surroundings as unknown as Surroundings)
  return { status, stdout: String(stdout.read() ?? ''), stderr: String(stderr.read() ?? '') }
}

test('command lines say what is to be done', () => {
  const request = (...argv: string[]): unknown => parseCommandLine(['image', ...argv], '0').request
  expect(request('ls', '--json')).toEqual({ json: true })
  expect(request('build', 'web.yaml', '--refresh')).toMatchObject({ file: 'web.yaml', refresh: true })
  expect(request('pull', 'debian:12')).toMatchObject({ image: 'debian:12' })
  expect(request('import', 'a.vmdk', '--name', 'web:1', '--kernel', 'k')).toEqual({ disk: 'a.vmdk', name: 'web:1', kernel: 'k' })
  expect(request('export', 'web:1', 'a', '-f', 'vhd')).toEqual({ name: 'web:1', file: 'a', format: 'vhd' })
  expect(request('rm', 'a', 'b')).toEqual({ names: ['a', 'b'] })
  expect(request('inspect', 'a', '--packages')).toEqual({ name: 'a', packages: true })
  for (const argv of [['build', 'web'], ['import', 'a'], ['import', 'a', '--name', 'web'], ['export', 'a'], ['rm'], ['nonsense']]) expect(() => request(...argv), argv.join(' ')).toThrow(usage)
})

test('a disk becomes an image, that is listed, run, exported and removed', async () => {
  await writeSystemDisk(at('disk.raw'), [{ '/sbin/init': 'x', '/boot/vmlinuz-6.1': 'KERNEL' }])
  expect((await tenon(['image', 'import', at('disk.raw'), '--name', 'web:1'])).stderr).toContain(`web:1 is there, and boots with root=PARTUUID=${PARTITION_IDS[0]} rw`)
  expect((await tenon(['image', 'ls'])).stdout).toMatch(/^NAME +ORIGIN +DISK +ON HOST +CREATED +KERNEL +ID\nbusybox +built-in +- +not fetched(.*\n)*web:1 +imported +26 MiB/)
  expect((await tenon(['image', 'inspect', 'web:1'])).stdout).toContain('boots with  root=PARTUUID')
  expect(JSON.parse((await tenon(['image', 'inspect', 'web:1', '--json'])).stdout)).toMatchObject([{ name: 'web:1', kernelRelease: '6.1' }])
  writeFileSync(at('key.pub'), 'ssh-ed25519 AAAA me\n')
  writeFileSync(at('user-data'), '#cloud-config\n')
  await tenon(['run', 'web:1', '--hostname', 'web', '--ssh-key', at('key.pub'), '--user-data', at('user-data')], ({ options, end }) => {
    expect(options.commandLine).toBe(`console=ttyS0 panic=-1 root=PARTUUID=${PARTITION_IDS[0]} rw`)
    const [root, seed, ...others] = options.keptDisks?.orders ?? []
    expect([root, seed, others]).toMatchObject([{ graph: { kind: 'overlay' } }, { graph: { kind: 'seed', userData: '#cloud-config\n' } }, []])
    expect(JSON.stringify(seed.graph)).toContain('ssh-ed25519 AAAA me')
    end('power-off')
  })
  expect((await tenon(['image', 'export', 'web:1', at('out.vmdk'), '--kernel', at('kernel')])).stderr).toContain('vmdk, 26 MiB; it boots with root=')
  expect(readFileSync(at('kernel'), 'utf8')).toBe('KERNEL')
  await expect(tenon(['image', 'export', 'web:1', at('out.vmdk')])).rejects.toMatchObject({ code: 'DISK_EXISTS' })
  await expect(tenon(['image', 'export', 'web:1', at('other'), '--kernel', at('kernel')])).rejects.toMatchObject({ code: 'OUTPUT_FAILED' })
  expect((await tenon(['image', 'rm', 'web:1'])).stderr).toContain('removed the image web:1 (')
  await expect(tenon(['run', 'web:1'])).rejects.toMatchObject({ code: 'IMAGE_UNKNOWN' })
  await expect(tenon(['image', 'export', 'busybox', at('x')])).rejects.toMatchObject({ code: 'IMAGE_UNKNOWN' })
})

test('what a guest is to be told is checked before anything is fetched', async () => {
  const seed = (...argv: string[]): unknown => (parseCommandLine(['run', ...argv], '0').request as { seed: unknown }).seed
  expect(seed('debian:12')).toBeUndefined()
  expect(seed('debian:12', '--ssh-key', 'a', '--ssh-key', 'b', '--hostname', 'web')).toEqual({ hostname: 'web', sshKeys: ['a', 'b'], userData: undefined })
  for (const argv of [['--hostname', 'web'], ['busybox', '--ssh-key', 'k'], ['debian:12', '--hostname', '-']]) expect(() => seed(...argv), argv.join(' ')).toThrow(usage)
  writeFileSync(at('private'), '-----BEGIN OPENSSH PRIVATE KEY-----\n')
  await expect(tenon(['run', 'web:1', '--ssh-key', at('private')])).rejects.toMatchObject({ code: 'SEED_INVALID' })
  await expect(tenon(['run', 'web:1', '--user-data', at('none')])).rejects.toMatchObject({ code: 'FILE_UNREADABLE' })
})

test('reports leave out what is not known', () => {
  const image = { name: 'a:1', origin: 'imported', id: 'i', isThere: true, occupied: 0, folder: '/f', kernelSha256: 'k', packages: [{ name: 'p', version: '1' }] } as const
  expect(imageLines(image, true)).toEqual([
    'image       a:1', 'origin      imported', 'id          i', 'on host     0 bytes in /f', 'kernel      of a release that is not known, SHA-256 k', 'packages    1', '  p 1',
  ])
  expect(imageTable([image])[1]).toBe('a:1   imported  -     0 bytes  -        -       i')
})
