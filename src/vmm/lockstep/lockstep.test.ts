import { beforeAll, describe, expect, it } from 'vitest'
import { gpa } from '../../base/addresses.ts'
import { buildPartialEngine } from '../../cpu/interpreter/build-engine.ts'
import { PROFILE } from '../../cpu/interpreter/profile-data.ts'
import { FEATURE_NAMES } from '../../cpu/system/cpuid.ts'
import { ImmediateCompiler } from '../../cpu/translator/compiler.ts'
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
function summing(): Promise<KernelImage> {
  const hex = '31c0 31c9 4801c8 48ffc1 488905f01f0000 48d1c0 ebee'.replaceAll(' ', '')
  const bytes = Uint8Array.from({ length: hex.length / 2 }, (_, at) => parseInt(hex.slice(2 * at, 2 * at + 2), 16))
  return openKernel(syntheticElf({ entry: 0x100000, segments: [{ physical: 0x100000, bytes, memorySize: 0x4000 }] }))
}

/** Takes ADD RAX, RCX for SUB. */
class MistakenCompiler extends ImmediateCompiler {
  override submit(plan: RegionPlan): void {
    const mistaken = (bytes: Uint8Array): Uint8Array =>
      bytes.map((byte, at) => byte === 0x01 && bytes[at - 1] === 0x48 && bytes[at + 1] === 0xc8 ? 0x29 : byte)
    super.submit({ ...plan, pages: plan.pages.map((page) => ({ ...page, bytes: mistaken(page.bytes) })) })
  }
}

function booted(guest = kernel, compiler = new ImmediateCompiler(FEATURE_NAMES)): { pair: Lockstep, console: () => string } {
  let console = ''
  const pair = new Lockstep({
    memory: 4 << 20, engine, wallClock: () => Date.UTC(2024, 1, 29), translationThreshold: 3, step: 20_000, stepsPerMemory: 4,
    compiler, transmit: (byte) => { console += String.fromCharCode(byte) },
  })
  pair.boot({ kernel: guest, commandLine: '', entry: guest === kernel ? 'pvh' : 'linux64' })
  return { pair, console: () => console }
}

const run = (pair: Lockstep, steps: number): void => { for (let step = 0; step < steps; step++) pair.step() }
const diverged = (message: RegExp): Error =>
  expect.objectContaining({ code: 'LOCKSTEP_DIVERGED', message: expect.stringMatching(message) as string }) as Error

describe('two machines in lockstep', () => {
  it('stay the same through interrupts, string instructions and code that is overwritten', () => {
    const { pair, console } = booted()
    run(pair, 25)
    expect(console().length).toBeGreaterThan(10)
  })

  it('stay the same while one of them translates', async () => {
    const { pair } = booted(await summing())
    run(pair, 9)
    expect(pair.interpreted.vcpu.engine.translator).toBeUndefined()
    expect(pair.translated.vcpu.engine.translator?.counters().instructions).toBeGreaterThan(10_000)
  })

  it('are told apart by a mistake of the translator', async () => {
    const { pair } = booted(await summing(), new MistakenCompiler(FEATURE_NAMES))
    expect(() => run(pair, 9)).toThrow(diverged(/vcpu0\..*: 0x[0-9a-f]+, 0x/))
  })

  it('are told apart by a register', () => {
    const { pair } = booted()
    run(pair, 10)
    pair.translated.vcpu.processor.state.setGpr(12, 1n)
    expect(() => run(pair, 1)).toThrow(diverged(/vcpu0/))
  })

  it('are told apart by a byte of memory', () => {
    const { pair } = booted()
    run(pair, 10)
    pair.translated.memory.write(gpa(0x3a0008), Uint8Array.of(1))
    expect(() => run(pair, 4)).toThrow(diverged(/memory 0x3a0008: 0x0, 0x1/))
  })
})
