import { beforeAll, describe, expect, it } from 'vitest'
import { gpa } from '../../base/addresses.ts'
import { buildPartialEngine } from '../../cpu/interpreter/build-engine.ts'
import { PROFILE } from '../../cpu/interpreter/profile-data.ts'
import type { KernelImage } from '../boot/kernel-image.ts'
import { busyGuest } from '../testing/busy-guest.ts'
import { ECHOING, RECURSING, SUMMING, SWITCHING, guestOf, mistaking, right } from '../testing/lockstep-guests.ts'
import { Lockstep } from './lockstep.ts'

let engine: WebAssembly.Module
let kernel: KernelImage
beforeAll(async () => {
  engine = new WebAssembly.Module(buildPartialEngine(PROFILE).bytes as Uint8Array<ArrayBuffer>)
  kernel = await busyGuest()
})

function booted(guest = kernel, compiler = right, input = ''): { pair: Lockstep, console: () => string } {
  let console = ''
  const waiting = [...input].map((character) => character.charCodeAt(0))
  const pair = new Lockstep({
    memory: 4 << 20, engine, startTime: Date.UTC(2024, 1, 29), translationThreshold: 3, step: 20_000, stepsPerCheckpoint: 4,
    compiler,
    serial: [{ transmit: (byte) => { console += String.fromCharCode(byte); return true }, receive: () => waiting.shift() ?? -1 }],
  })
  pair.boot({ kernel: guest, commandLine: '', entry: guest === kernel ? 'pvh' : 'linux64' })
  return { pair, console: () => console }
}

const run = (pair: Lockstep, steps: number): void => { for (let step = 0; step < steps; step++) pair.run() }
const diverged = (message: RegExp): Error =>
  expect.objectContaining({ code: 'LOCKSTEP_DIVERGED', message: expect.stringMatching(message) as string }) as Error

describe('two machines in lockstep', () => {
  it('stay the same through interrupts, string instructions and code that is overwritten', () => {
    const { pair, console } = booted()
    run(pair, 25)
    expect(console().length).toBeGreaterThan(10)
  })

  it('stay the same while one of them translates', async () => {
    const { pair } = booted(await guestOf(SUMMING))
    run(pair, 9)
    expect(pair.interpreted.vcpu.engine.translator).toBeUndefined()
    expect(pair.translated.vcpu.engine.translator?.counters().instructions).toBeGreaterThan(10_000)
  })

  it.each([['calls itself', RECURSING], ['jumps to one of several places', SWITCHING]])('stay in regions while code %s', async (_, code) => {
    const { pair } = booted(await guestOf(code))
    run(pair, 20)
    const counters = () => pair.translated.vcpu.engine.translator?.counters() ?? { instructions: 0, entries: 0 }
    const before = counters()
    run(pair, 10)
    const { instructions, entries } = counters()
    expect(instructions - before.instructions).toBeGreaterThan(150_000)
    expect((instructions - before.instructions) / (entries - before.entries)).toBeGreaterThan(1000)
  })

  it('have one console', async () => {
    const { pair, console } = booted(await guestOf(ECHOING), right, 'lockstep')
    pair.serial[0].receiveReady()
    run(pair, 6)
    expect(console()).toBe('lockstep')
  })

  it('are told apart by a mistake of the translator, and the instruction is found', async () => {
    // ADD RAX, RCX taken for SUB.
    const { pair } = booted(await guestOf(SUMMING), mistaking('4801c8', '4829c8'))
    expect(() => run(pair, 9))
      .toThrow(diverged(/goes wrong in translated code:\n  0x100004 .*add rax, rcx\n[^]*RAX: 0x[^]*\n> 0x100004 .*add rax, rcx/))
  })

  it('are told apart by a register', () => {
    const { pair } = booted()
    run(pair, 10)
    pair.translated.vcpu.processor.state.setGpr(12, 1n)
    expect(() => run(pair, 1)).toThrow(diverged(/vcpu0.*did not differ/s))
  })

  it('are told apart by a byte of memory', () => {
    const { pair } = booted()
    run(pair, 10)
    pair.translated.memory.write(gpa(0x3a0008), Uint8Array.of(1))
    expect(() => run(pair, 4)).toThrow(diverged(/memory 0x3a0008: 0x0, 0x1/))
  })
})
