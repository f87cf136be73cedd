import { beforeAll, describe, expect, it } from 'vitest'
import { gpa } from '../../base/addresses.ts'
import { buildPartialEngine } from '../../cpu/interpreter/build-engine.ts'
import { PROFILE } from '../../cpu/interpreter/profile-data.ts'
import { FEATURE_NAMES } from '../../cpu/system/cpuid.ts'
import { ImmediateCompiler } from '../../cpu/translator/compiler.ts'
import type { RegionCompiler } from '../../cpu/translator/compiler.ts'
import type { RegionPlan } from '../../cpu/translator/plan.ts'
import { openKernel } from '../boot/kernel-image.ts'
import type { KernelImage } from '../boot/kernel-image.ts'
import { syntheticElf } from '../boot/testing/synthetic-kernels.ts'
import { busyGuest } from '../testing/busy-guest.ts'
import { Lockstep } from './lockstep.ts'

let engine: WebAssembly.Module
let kernel: KernelImage
beforeAll(async () => {
  engine = new WebAssembly.Module(buildPartialEngine(PROFILE).bytes as Uint8Array<ArrayBuffer>)
  kernel = await busyGuest()
})

/** In 64-bit mode: adds up numbers, rotates the sum and stores it, for ever. */
const SUMMING = '31c0 31c9 4801c8 48ffc1 488905f01f0000 48d1c0 ebee'
/** Stores a counter's successors in a page, round and round: a wrong one is seen in memory alone. */
const STORING = '31c9 48ffc1 488d4103 89ca 81e2f80f0000 48898200101000 31c0 ebe6'
/** Echoes COM1, reading the line status register in between. */
const ECHOING = '66bafd03 ec a801 74fb 66baf803 ec ee ebef'

function guestOf(code: string): Promise<KernelImage> {
  const hex = code.replaceAll(' ', '')
  const bytes = Uint8Array.from({ length: hex.length / 2 }, (_, at) => parseInt(hex.slice(2 * at, 2 * at + 2), 16))
  return openKernel(syntheticElf({ entry: 0x100000, segments: [{ physical: 0x100000, bytes, memorySize: 0x4000 }] }))
}

/** Takes one instruction for another of the same length. */
const mistaking = (right: string, wrong: string) => class extends ImmediateCompiler {
  override submit(plan: RegionPlan): void {
    const replace = (bytes: Uint8Array): Uint8Array =>
      Uint8Array.from(Buffer.from(Buffer.from(bytes).toString('hex').replaceAll(right, wrong), 'hex'))
    super.submit({ ...plan, pages: plan.pages.map((page) => ({ ...page, bytes: replace(page.bytes) })) })
  }
}

type CompilerClass = new (features: ReadonlySet<string>) => RegionCompiler

function booted(guest = kernel, Compiler: CompilerClass = ImmediateCompiler, input = ''): { pair: Lockstep, console: () => string } {
  let console = ''
  const waiting = [...input].map((character) => character.charCodeAt(0))
  const pair = new Lockstep({
    memory: 4 << 20, engine, startTime: Date.UTC(2024, 1, 29), translationThreshold: 3, step: 20_000, stepsPerCheckpoint: 4,
    compiler: () => new Compiler(FEATURE_NAMES),
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

  it('have one console', async () => {
    const { pair, console } = booted(await guestOf(ECHOING), ImmediateCompiler, 'lockstep')
    pair.serial[0].receiveReady()
    run(pair, 6)
    expect(console()).toBe('lockstep')
  })

  it('are told apart by a mistake of the translator, and the region is found', async () => {
    // ADD RAX, RCX taken for SUB.
    const { pair } = booted(await guestOf(SUMMING), mistaking('4801c8', '4829c8'))
    expect(() => run(pair, 9)).toThrow(diverged(/vcpu0\..*: 0x[0-9a-f]+, 0x.*first different in translated code, in the \d+ instr/s))
    const again = booted(await guestOf(SUMMING), mistaking('4801c8', '4829c8'))
    expect(() => run(again.pair, 9)).toThrow(diverged(/executed there:.*4801c8 +add rax, rcx/s))
  })

  it('are told apart by what a region stores', async () => {
    // LEA RAX, [RCX + 3] taken for [RCX + 4]; RAX is cleared afterwards.
    const { pair } = booted(await guestOf(STORING), mistaking('488d4103', '488d4104'))
    expect(() => run(pair, 9)).toThrow(diverged(/first different in translated code.*memory 0x10[0-9a-f]+: 0x.*lea rax, \[rcx/s))
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
