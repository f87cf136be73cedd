/**
 * The compiled machine with small guests of its own: on its thread, with its engine. The build must be up to date: `npm test` sees to
 * it, or `npm run build`.
 */
import { existsSync } from 'node:fs'
import { beforeAll, expect, test } from 'vitest'
import { KERNEL_ADDRESS, pvhNote, syntheticElf } from '../../vmm/boot/testing/synthetic-kernels.ts'
import type { MachineOptions, MachineSession, SerialOwner, StartMachine } from './session.ts'

const compiled = new URL('../../../dist/host/machine/start.js', import.meta.url)
let startMachine: StartMachine

beforeAll(async () => {
  if (!existsSync(compiled)) throw new Error('there is no build in dist/: npm run build')
  startMachine = (await import(compiled.href) as { startMachine: StartMachine }).startMachine
})

/** Assembles bytes given as numbers and as hex text with spaces. Code starts in 32-bit protected mode, as PVH says. */
function kernel(...hex: string[]): Uint8Array {
  const bytes = Uint8Array.from(hex.join(' ').trim().split(/\s+/), byte => parseInt(byte, 16))
  return kernelOf(bytes)
}

function kernelOf(bytes: Uint8Array): Uint8Array {
  return syntheticElf({ segments: [{ physical: KERNEL_ADDRESS, bytes, memorySize: 0x10000 }], notes: pvhNote(KERNEL_ADDRESS) })
}

const ignore: SerialOwner = { receive: () => true }

function start(file: Uint8Array, options: Partial<MachineOptions> = {}): Promise<MachineSession> {
  return startMachine({ memoryBytes: 32 * 1024 ** 2, kernel: file, commandLine: '', serial: [ignore], ...options })
}

const POWER_OFF = '66 ba 04 06 66 b8 00 34 66 ef eb fe' // mov dx, PM1a control; mov ax, SLP_TYP 5 | SLP_EN; out dx, ax
const RESET = '66 ba f9 0c b0 06 ee eb fe' // mov dx, 0xcf9; mov al, 6; out dx, al
const FOR_EVER = 'eb fe'
const HALT = 'fa f4 eb fd' // cli; hlt
const IDLE = 'fb f4 eb fd' // sti; hlt
const TRIPLE_FAULT = '0f 01 1d 00 00 00 00 0f 0b' // lidt [0], where the limit is 0; ud2

/** Echoes COM1 to COM1; Ctrl-D powers off. */
const ECHO = [
  '66 ba fd 03', 'ec a8 01 74 fb', // wait for LSR's data ready
  '66 ba f8 03 ec 88 c3', '66 ba fd 03', 'ec a8 20 74 fb', // read; wait for THR empty
  '66 ba f8 03 88 d8 ee', '80 fb 04 75 db', POWER_OFF,
]

/** Sends 300,000 bytes that count up, then powers off. */
const COUNT = 300_000
const FLOOD = [
  'b9 e0 93 04 00 31 db', '66 ba fd 03', 'ec a8 20 74 fb', '66 ba f8 03 88 d8 ee', '43', '49 75 ec', POWER_OFF,
]

test.each([
  ['power-off', POWER_OFF, /^$/], ['reset', RESET, /RIP 0x1000007/], ['halted', HALT, /RIP 0x1000002, .*CR0/], ['triple-fault', TRIPLE_FAULT, /RIP 0x1000007/],
] as const)('a guest ends by %s', async (reason, code, detail) => {
  expect(await (await start(kernel(code))).exited).toEqual({ reason, detail: expect.stringMatching(detail) })
})

const PANIC = '66 ba 05 05 b0 01 ee' // mov dx, 0x505; mov al, 1; out dx, al

test('a guest that panics ends, or goes on as its owner has it', async () => {
  const heard: string[] = []
  const options = { onPanic: (panic: string) => void heard.push(panic) }
  expect((await (await start(kernel(PANIC, FOR_EVER), options)).exited).reason).toBe('panicked')
  expect((await (await start(kernel(PANIC, POWER_OFF), { ...options, afterPanic: 'go-on' })).exited).reason).toBe('power-off')
  expect(heard).toEqual(['panicked', 'panicked'])
}, 60_000)

test.each([['that runs', FOR_EVER], ['that sleeps', IDLE]])('a guest %s is killed at once', async (_, code) => {
  const session = await start(kernel(code))
  await new Promise(resolve => setTimeout(resolve, 100))
  const before = performance.now()
  session.kill()
  expect(await session.exited).toEqual({ reason: 'killed', detail: '' })
  expect(performance.now() - before).toBeLessThan(2_000)
  session.kill()
})

test('a signal kills, before the start and after', async () => {
  const abort = new AbortController()
  const session = await start(kernel(FOR_EVER), { signal: abort.signal })
  abort.abort(new Error('enough'))
  expect((await session.exited).reason).toBe('killed')
  await expect(start(kernel(FOR_EVER), { signal: abort.signal })).rejects.toThrow('enough')
  const soon = new AbortController()
  const starting = start(kernel(FOR_EVER), { signal: soon.signal })
  soon.abort(new Error('at once'))
  await expect(starting).rejects.toThrow('at once')
})

test('bytes go in and come out', async () => {
  const got: Buffer[] = []
  const session = await start(kernel(...ECHO), { serial: [{ receive: bytes => got.push(Buffer.from(bytes)) > 0 }] })
  const sent = Buffer.from(Array.from({ length: 40_000 }, (_, index) => 5 + index % 251))
  await session.serial[0].write(sent.subarray(0, 10))
  await session.serial[0].write(sent.subarray(10))
  await session.serial[0].write(Uint8Array.of(4))
  expect((await session.exited).reason).toBe('power-off')
  expect(Buffer.concat(got).equals(Buffer.concat([sent, Buffer.of(4)]))).toBe(true)
})

test('an owner that takes nothing holds the guest back, and loses nothing', async () => {
  const got: Uint8Array[] = []
  let isOpen = false
  const size = (): number => got.reduce((sum, { length }) => sum + length, 0)
  const receive = (bytes: Uint8Array): boolean => {
    got.push(bytes.slice())
    return isOpen
  }
  const session = await start(kernel(...FLOOD), { serial: [{ receive }] })
  await new Promise(resolve => setTimeout(resolve, 500))
  const held = size()
  expect(held).toBeLessThan(20_000)
  await new Promise(resolve => setTimeout(resolve, 200))
  expect(size()).toBe(held)
  isOpen = true
  session.serial[0].resume()
  expect((await session.exited).reason).toBe('power-off')
  expect(size()).toBe(COUNT)
  expect(Buffer.concat(got).every((byte, index) => byte === (index & 0xff))).toBe(true)
})

test('two machines in lockstep are one to the host', async () => {
  const got: Buffer[] = []
  const session = await start(kernel(...ECHO), { lockstep: true, serial: [{ receive: bytes => got.push(Buffer.from(bytes)) > 0 }] })
  await session.serial[0].write(Buffer.from('to both\x04'))
  expect((await session.exited).reason).toBe('power-off')
  expect(Buffer.concat(got).toString()).toBe('to both\x04')
})

test('two machines in lockstep respect an owner that takes no more', async () => {
  let size = 0
  let isOpen = false
  const session = await start(kernel(...FLOOD), { lockstep: true, serial: [{ receive: (bytes) => {
    size += bytes.length
    return isOpen
  } }] })
  await new Promise(resolve => setTimeout(resolve, 1_000))
  const held = size
  expect(held).toBeLessThan(20_000)
  isOpen = true
  session.serial[0].resume()
  expect((await session.exited).reason).toBe('power-off')
  expect(size).toBe(COUNT)
}, 60_000)

test('an idle guest leaves the host alone', async () => {
  const session = await start(kernel(IDLE))
  await new Promise(resolve => setTimeout(resolve, 300))
  const before = process.cpuUsage()
  await new Promise(resolve => setTimeout(resolve, 2_000))
  const { user, system } = process.cpuUsage(before)
  session.kill()
  expect((user + system) / 2_000_000).toBeLessThan(0.1)
})

/** Writes zeros to every port, touches the address space beyond RAM at a megabyte's distance, and writes ones to the ports, backwards. */
const EVERYWHERE = [
  '31 d2 31 c0', 'ee 66 ef ef', '42 81 fa 00 00 01 00 75 f3',
  'bf 00 00 00 08', '89 07 8b 0f', '81 c7 04 10 10 00 73 f4',
  'f7 d0 ba ff ff 00 00', 'ee 66 ef ef', '4a 85 d2 75 f7', POWER_OFF,
]

test('a guest that writes to every port and address ends as a guest may', async () => {
  const session = await start(kernel(...EVERYWHERE))
  const timer = setTimeout(() => session.kill(), 20_000)
  expect(['power-off', 'reset', 'triple-fault']).toContain((await session.exited).reason)
  clearTimeout(timer)
}, 30_000)

test('garbage is a guest like any other', async () => {
  let seed = 1
  const random = (): number => (seed = Math.imul(seed, 1664525) + 1013904223 >>> 0) >>> 24
  for (let round = 0; round < 20; round++) {
    const session = await start(kernelOf(Uint8Array.from({ length: 4096 }, random)))
    const timer = setTimeout(() => session.kill(), 300)
    expect((await session.exited).reason).not.toBe('failed')
    clearTimeout(timer)
  }
}, 60_000)

test.each([
  ['KERNEL_NOT_RECOGNISED', {}, Buffer.from('no kernel')],
  ['MEMORY_TOO_SMALL', { memoryBytes: 2 * 1024 ** 2 }, undefined],
  ['MEMORY_TOO_LARGE', { memoryBytes: 2 ** 40 }, undefined],
  ['INITRD_TOO_LARGE', { initrd: new Uint8Array(40 * 1024 ** 2) }, undefined],
])('refuses with %s', async (code, options, file) => {
  await expect(start(file ?? kernel(FOR_EVER), options)).rejects.toEqual(expect.objectContaining({ code, name: 'TenonError' }))
})
