import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { scriptedMachine } from '../host/guest/testing/scripted-machine.ts'
import type { ScriptedGuest } from '../host/guest/testing/scripted-machine.ts'
import { parseCommandLine } from './program.ts'

const withCode = (code: string): unknown => expect.objectContaining({ code })
let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tenon-cli-'))
  vi.stubEnv('TENON_CACHE', folder)
})

afterEach(() => {
  vi.unstubAllEnvs()
  rmSync(folder, { recursive: true })
})

async function runWith(argv: readonly string[], guest: (guest: ScriptedGuest) => Promise<void> | void = () => {}, environment: Record<string, string> = {}): Promise<{ status: number, stdout: string, stderr: string }> {
  const [stdin, stdout, stderr] = [new PassThrough().end('typed'), new PassThrough(), new PassThrough()]
  const status = await parseCommandLine(argv, '0').perform({
    stdin: stdin as unknown as NodeJS.ReadStream,
    stdout: stdout as unknown as NodeJS.WriteStream,
    stderr: stderr as unknown as NodeJS.WriteStream,
    environment,
    version: '0',
    startMachine: scriptedMachine(guest),
    quit: new AbortController(),
  })
  return { status, stdout: String(stdout.read() ?? ''), stderr: String(stderr.read() ?? '') }
}

test('a kernel of the user\'s own gets its files, its command line and the console', async () => {
  const [kernel, initrd] = [join(folder, 'k'), join(folder, 'i')]
  writeFileSync(kernel, 'KERNEL')
  writeFileSync(initrd, 'INITRD')
  const result = await runWith(['run', '--kernel', kernel, '--initrd', initrd, '-m', '64M', '--cpu', 'x86-64-v2', '--verbose'], async guest => {
    const { options } = guest
    guest.send(0, `${Buffer.from(options.kernel)} ${Buffer.from(options.initrd!)} ${options.memoryBytes} ${options.cpu} ${options.commandLine} `)
    guest.send(0, await guest.receive(0, 'typed'))
    guest.end('reset', 'by the keyboard controller')
  })
  expect(result).toEqual({
    status: 0, stdout: 'KERNEL INITRD 67108864 x86-64-v2 console=ttyS0 typed', stderr: 'tenon: the guest ended: reset (by the keyboard controller)\n',
  })
})

test('files that cannot be read are errors', async () => {
  const empty = join(folder, 'empty')
  writeFileSync(empty, '')
  for (const path of [join(folder, 'none'), folder, empty]) await expect(runWith(['run', '--kernel', path])).rejects.toEqual(withCode('FILE_UNREADABLE'))
})

test('without a network there is no image, and the message says so', async () => {
  await expect(runWith(['run', '--mirror', 'http://127.0.0.1:9/debian', '--', 'true'])).rejects.toEqual(withCode('DOWNLOAD_FAILED'))
})

test('an image without a disk is refused to a named guest, and names are taken once', async () => {
  await expect(runWith(['run', '--name', 'a'], undefined, { TENON_HOME: folder })).rejects.toEqual(withCode('GUEST_IMAGE_UNFIT'))
  mkdirSync(join(folder, 'guests/a'), { recursive: true })
  await expect(runWith(['run', '--name', 'a', 'debian:12'], undefined, { TENON_HOME: folder })).rejects.toEqual(withCode('GUEST_EXISTS'))
  for (const command of ['start', 'stop', 'rm', 'console', 'logs', 'inspect']) {
    await expect(runWith([command, 'none'], undefined, { TENON_HOME: folder })).rejects.toEqual(withCode('GUEST_UNKNOWN'))
  }
  for (const command of ['start', 'stop']) {
    const unfit = command === 'start' ? 'GUEST_FILES_UNUSABLE' : 'GUEST_NOT_RUNNING'
    await expect(runWith([command, 'a'], undefined, { TENON_HOME: folder })).rejects.toEqual(withCode(unfit))
  }
})
