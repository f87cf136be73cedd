/** The built library with real guests. The image is that of the user's cache, fetched if it is not there. */
import { existsSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { KERNEL_ADDRESS, pvhNote, syntheticElf } from '../vmm/boot/testing/synthetic-kernels.ts'
import type { Machine as MachineType } from './machine.ts'
import { imageUnavailable } from '../../test/images.ts'

const compiled = new URL('../../dist/index.js', import.meta.url)
const BOOT = 180_000
const withCode = (code: string) => expect.objectContaining({ name: 'TenonError', code })
let Machine: typeof MachineType

beforeAll(async () => {
  if (!existsSync(compiled)) throw new Error('there is no build in dist/: npm run build')
  Machine = (await import(compiled.href) as { Machine: typeof MachineType }).Machine
})

const unavailable = await imageUnavailable()

describe.skipIf(unavailable)('a machine with the image busybox', () => {
  let machine: MachineType

  beforeAll(async () => {
    machine = await Machine.start({ memory: '256M' })
  }, BOOT)
  afterAll(() => machine?.kill())

  test('runs commands in the order of the calls', async () => {
    const runs = [
      machine.run(['sh', '-c', 'sleep 1; echo first > /tmp/file']), machine.run(['cat', '/tmp/file']),
      machine.run(['sh', '-c', 'cat; echo $X >&2; exit 3'], { stdin: 'é', env: { X: 'it\'s' } }), machine.run(['no-such-command']),
    ]
    const results = await Promise.all(runs)
    expect(results.slice(0, 3)).toEqual([
      { status: 0, stdout: '', stderr: '' }, { status: 0, stdout: 'first\n', stderr: '' }, { status: 3, stdout: 'é', stderr: 'it\'s\n' },
    ])
    expect(results[3].status).toBe(127)
  }, BOOT)

  test('a command does not get the input that another one left', async () => {
    const endless = (async function* () { for (;;) yield Buffer.alloc(60_000, 'x') })()
    expect((await machine.run(['head', '-c', '3'], { stdin: endless })).stdout).toBe('xxx')
    expect((await machine.run(['cat'], { stdin: 'mine' })).stdout).toBe('mine')
  }, BOOT)

  test('refuses what cannot be a command', async () => {
    await expect(machine.run([])).rejects.toEqual(withCode('COMMAND_INVALID'))
    await expect(machine.run(['a\0b'])).rejects.toEqual(withCode('COMMAND_INVALID'))
    await expect(machine.run(['x'], { env: { 'a; reboot': '' } })).rejects.toEqual(withCode('COMMAND_INVALID'))
  })

  test('a panic ends the command with an error, and those that wait', async () => {
    const runs = [machine.run(['sh', '-c', 'echo c > /proc/sysrq-trigger']), machine.run(['true'])]
    const outcomes = await Promise.allSettled(runs)
    expect(outcomes.map(outcome => outcome.status === 'rejected' && outcome.reason.code)).toEqual(['GUEST_PANIC', 'GUEST_STOPPED'])
    expect((await machine.exited).reason).toBe('reset')
  }, BOOT)

  test('powers off when it is stopped', async () => {
    const other = await Machine.start({ memory: '256M', verbose: true })
    expect((await other.stop()).reason).toBe('power-off')
    let log = ''
    for await (const bytes of other.console) log += Buffer.from(bytes).toString()
    expect(log).toContain('Power down')
  }, BOOT)

  test('a signal stops it while it boots', async () => {
    await expect(Machine.start({ signal: AbortSignal.timeout(2_000) })).rejects.toEqual(expect.objectContaining({ name: 'TimeoutError' }))
  }, BOOT)
})

test('a kernel of one\'s own has the console, and no commands', async () => {
  // Echoes COM1 for ever.
  const echo = '66bafd03 eca80174fb 66baf803ec ee ebed'.replaceAll(' ', '')
  const kernel = Buffer.from(syntheticElf({ segments: [{ physical: KERNEL_ADDRESS, bytes: Buffer.from(echo, 'hex') }], notes: pvhNote(KERNEL_ADDRESS) }))
  const copy = Buffer.from(kernel)
  const machine = await Machine.start({ kernel, memory: '32M' })
  await machine.console.write('hello')
  let text = ''
  for await (const bytes of machine.console) {
    text += Buffer.from(bytes).toString()
    if (text === 'hello') break
  }
  await expect(machine.run(['x'])).rejects.toEqual(withCode('COMMANDS_UNSUPPORTED'))
  expect((await machine.kill()).reason).toBe('killed')
  expect(kernel.equals(copy)).toBe(true)
})
