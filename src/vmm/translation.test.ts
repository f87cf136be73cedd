/** Regions as they come and go under a running machine. */
import { beforeAll, describe, expect, it } from 'vitest'
import { gpa } from '../base/addresses.ts'
import { buildPartialEngine } from '../cpu/interpreter/build-engine.ts'
import { PROFILE } from '../cpu/interpreter/profile-data.ts'
import { FEATURE_NAMES } from '../cpu/system/cpuid.ts'
import { ImmediateCompiler } from '../cpu/translator/compiler.ts'
import type { CompiledRegions } from '../cpu/translator/compiler.ts'
import { SUMMING, SWITCHING, guestOf, right } from './testing/lockstep-guests.ts'
import { Lockstep } from './lockstep/lockstep.ts'
import { Machine } from './machine.ts'

let engine: WebAssembly.Module
beforeAll(() => { engine = new WebAssembly.Module(buildPartialEngine(PROFILE).bytes as Uint8Array<ArrayBuffer>) })

/** Counts in the first page, for ever; the first hundred times by way of the second. */
const TWO_PAGES = [
  '31c0', '48ffc0', '83f864', '0f82f20f0000', 'ebf2', // xor eax, eax; again: inc rax; cmp eax, 100; jb 0x1000; jmp again
  '90'.repeat(0x1000 - 0x10), '48ffc1', 'e9faefffff', // 0x1000: inc rcx; jmp again
].join('')
const SECOND_PAGE = 0x101000

/** Gives nothing before it is let go. */
class HoldingCompiler extends ImmediateCompiler {
  holds = true
  override collect(): CompiledRegions | undefined { return this.holds ? undefined : super.collect() }
}

it('code is translated again if a part of it changed while it was compiled', async () => {
  const compiler = new HoldingCompiler(FEATURE_NAMES)
  const machine = new Machine({
    memory: 4 << 20, engine, translationThreshold: 3, compiler, hostNow: () => 0, wallClock: () => 0, random: () => 0,
  })
  machine.boot({ kernel: await guestOf(TWO_PAGES), commandLine: '', entry: 'linux64' })
  machine.run(20_000)
  expect(compiler.pending).toBeGreaterThan(0)
  for (const value of [0x90, 0x48]) machine.memory.write(gpa(SECOND_PAGE), Uint8Array.of(value))
  compiler.holds = false
  for (let slice = 0; slice < 4; slice++) machine.run(20_000)
  const translator = machine.vcpu.engine.translator
  expect(translator?.statistics.discarded).toBeGreaterThan(0)
  expect(translator?.counters().instructions).toBeGreaterThan(20_000)
})

describe('eviction', () => {
  async function booted(code: string): Promise<Lockstep> {
    const pair = new Lockstep({
      memory: 4 << 20, engine, startTime: 0, translationThreshold: 3, step: 20_000, stepsPerCheckpoint: 4, compiler: right,
    })
    pair.boot({ kernel: await guestOf(code), commandLine: '', entry: 'linux64' })
    return pair
  }

  it.each([SUMMING, SWITCHING])('takes away what is not entered, and it comes back (%#)', async (code) => {
    const pair = await booted(code)
    const { translator } = pair.translated.vcpu.engine
    const lives: number[] = []
    for (let step = 0; step < 20; step++) {
      pair.run()
      if (step % 4 !== 3) continue
      translator?.evict()
      translator?.evict()
      lives.push(translator?.counters().live ?? -1)
    }
    pair.run()
    expect(lives).toEqual([0, 0, 0, 0, 0])
    expect(translator?.counters().live).toBeGreaterThan(0)
    expect(translator?.statistics.evictions).toBe(10)
  })
})
