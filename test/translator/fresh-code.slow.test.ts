/**
 * A guest that makes fresh code for as long as it runs, as a just-in-time compiler does: functions that were never there before, each
 * called until it is translated. What the translator keeps stays bounded, and every function returns what it should.
 */
import { expect, it } from 'vitest'
import { buildPartialEngine } from '../../src/cpu/interpreter/build-engine.ts'
import { PROFILE } from '../../src/cpu/interpreter/profile-data.ts'
import { FEATURE_NAMES } from '../../src/cpu/system/cpuid.ts'
import { ImmediateCompiler } from '../../src/cpu/translator/compiler.ts'
import type { CompiledRegions } from '../../src/cpu/translator/compiler.ts'
import { collectGarbage } from '../../src/host/machine/worker-compiler.ts'
import { Machine } from '../../src/vmm/machine.ts'
import { guestOf } from '../../src/vmm/testing/lockstep-guests.ts'

/**
 * Fills a page with 64 functions, calls each 12 times, and goes on to the next of 32 pages, for ever. RBX is the number of functions so
 * far, and each returns its own; R8 adds up what they return, R9 what they should. If these differ, there is an exception nobody handles.
 */
const FRESH_CODE = [
  'bc00003000 31db 4531c0 4531c9', // mov esp, 0x300000; xor ebx, ebx; xor r8d, r8d; xor r9d, r9d
  'bf00004000', // round: mov edi, 0x400000
  '89fe b940000000', // page: mov esi, edi; mov ecx, 64
  'ffc3 c606b8 895e01 c64605c3', // write: inc ebx; the bytes of `mov eax, ebx's value; ret` to [rsi]
  '486bc30c 4901c1 83c640 ffc9 75e6', // imul rax, rbx, 12; add r9, rax; add esi, 64; dec ecx; jnz write
  '89fe b940000000', // mov esi, edi; mov ecx, 64
  'ba0c000000 ffd6 4901c0 ffca 75f7', // function: mov edx, 12; again: call rsi; add r8, rax; dec edx; jnz again
  '83c640 ffc9 75eb', // add esi, 64; dec ecx; jnz function
  '4d39c1 7402 0f0b', // cmp r9, r8; je next; ud2
  '81c700100000 81ff00004200 72ae eba7', // next: add edi, 4096; cmp edi, 0x420000; jb page; jmp round
].join('')
const REGIONS = 26_000
/** The translator's own bound, and what was compiled since it looked. */
const MOST_MODULES = 4000 + 200
const SLICE = 20_000
const MEGABYTE_PAGES = 256

/** Keeps an eye on the modules that it makes. */
class WatchedCompiler extends ImmediateCompiler {
  private modules: WeakRef<WebAssembly.Module>[] = []

  override collect(): CompiledRegions | undefined {
    const compiled = super.collect()
    if (compiled !== undefined) this.modules.push(new WeakRef(compiled.module))
    return compiled
  }

  override discarded(): void { collectGarbage() }

  /** To be asked in a turn of the event loop in which none was made or asked for. */
  get living(): number {
    this.modules = this.modules.filter((module) => module.deref() !== undefined)
    return this.modules.length
  }
}

const turn = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })

it('code without end is translated in bounded memory', async () => {
  const compiler = new WatchedCompiler(FEATURE_NAMES)
  const engine = new WebAssembly.Module(buildPartialEngine(PROFILE).bytes as Uint8Array<ArrayBuffer>)
  const machine = new Machine({
    memory: 8 << 20, engine, translationThreshold: 3, compiler, hostNow: () => 0, wallClock: () => 0, random: () => 0,
  })
  machine.boot({ kernel: await guestOf(FRESH_CODE), commandLine: '', entry: 'linux64' })
  const { translator } = machine.vcpu.engine
  const free: number[] = []
  let most = 0
  while (translator!.statistics.installed < REGIONS) {
    expect(machine.run(SLICE).state).not.toBe('ended')
    await turn()
    most = Math.max(most, compiler.living)
    // What was looked at lives to the end of the turn.
    await turn()
    if (translator!.statistics.evictions > free.length) free.push(machine.frames.pool.freePages)
  }
  expect(free.length).toBeGreaterThanOrEqual(2)
  expect(most).toBeLessThan(MOST_MODULES)
  expect(Math.max(...free) - Math.min(...free)).toBeLessThan(MEGABYTE_PAGES)
  await turn()
  collectGarbage()
  await turn()
  expect(compiler.living).toBeLessThan(MOST_MODULES / 2)
}, 300_000)
