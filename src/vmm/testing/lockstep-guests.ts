/** Small guests in 64-bit mode for machines in lockstep, and compilers that make mistakes. */
import { FEATURE_NAMES } from '../../cpu/system/cpuid.ts'
import { ImmediateCompiler } from '../../cpu/translator/compiler.ts'
import type { CompiledRegions, RegionCompiler } from '../../cpu/translator/compiler.ts'
import type { RegionPlan } from '../../cpu/translator/plan.ts'
import { RegionTranslator } from '../../cpu/translator/translate.ts'
import { openKernel } from '../boot/kernel-image.ts'
import type { KernelImage } from '../boot/kernel-image.ts'
import { syntheticElf } from '../boot/testing/synthetic-kernels.ts'

/** Adds up numbers, rotates the sum and stores it, for ever. */
export const SUMMING = '31c0 31c9 4801c8 48ffc1 488905f01f0000 48d1c0 ebee'
/** Stores a counter's successors in a page, round and round: a wrong one is seen in memory alone. */
export const STORING = '31c9 48ffc1 488d4103 89ca 81e2f80f0000 48898200101000 31c0 ebe6'
/** The same, but it loads as well what it stored half a page ago. */
export const LOADING = '31c9 48ffc1 488d4103 89ca 81e2f80f0000 48898200101000 81f200080000 488b8200101000 ebdb'
/** Echoes COM1, reading the line status register in between. */
export const ECHOING = '66bafd03 ec a801 74fb 66baf803 ec ee ebef'
/** Adds a counter when one of its bits is set. */
export const BRANCHING = '31c0 31c9 48ffc1 f6c110 7403 4801c8 ebf3'
/** Adds a constant, and mixes. */
export const ADDING = '31c0 480567452301 48d1c0 ebf5'
/**
 * Sums, and raises #UD each time round; the handler, at 40, goes on behind it. An IDT of one gate, for vector 6, is at 0 of the next page,
 * 60 bytes before its base; IDTR's value at 80.
 */
export const FAULTING = [
  '0f011d79000000', 'bc00002000', '31c0', '31c9', // lidt [rip+0x79]; mov esp, 0x200000; clear
  '48ffc1', '4801c8', '48d1c0', '0f0b', '488905e51f0000', 'ebec', // inc, add, rol; ud2; mov [rip], rax; jmp
  '90'.repeat(0x40 - 0x24), '4883042402', '48cf', // the handler: add qword [rsp], 2; iretq
  '90'.repeat(0x80 - 0x47), 'ff0f', 'a00f100000000000', // IDTR
  '00'.repeat(0x1000 - 0x8a), '4000', '1000', '008e', '1000', '0000000000000000',
].join('')

/** Computes Fibonacci's tenth number by recursion, for ever. */
export const RECURSING = [
  'bc00002000', 'bf0a000000', 'e802000000', 'ebf4', // mov esp, 0x200000; again: mov edi, 10; call; jmp again
  '83ff02', '7303', '89f8', 'c3', // cmp edi, 2; jae; mov eax, edi; ret
  '57', 'ffcf', 'e8f0ffffff', '5f', '50', '83ef02', 'e8e6ffffff', '5a', '01d0', 'c3', // push, dec, call, pop, push, sub, call, pop, add, ret
].join('')
/** Does one of four things to a number, by a jump to where a counter says. */
export const SWITCHING = [
  '31c9', '48ffc1', '89ca', '83e203', '488d050f000000', '48c1e204', '4801d0', 'ffe0', '90'.repeat(6), // inc, and, lea, shl, add, jmp rax
  '4883c301', 'ebdc', '90'.repeat(10), '4883c307', 'ebcc', '90'.repeat(10), '48d1c3', 'ebbd', '90'.repeat(11), '4883f355', 'ebac',
].join('')

const ADDRESS = 0x100000

export function guestOf(code: string): Promise<KernelImage> {
  const bytes = Uint8Array.from(Buffer.from(code.replaceAll(' ', ''), 'hex'))
  return openKernel(syntheticElf({ entry: ADDRESS, segments: [{ physical: ADDRESS, bytes, memorySize: 0x4000 }] }))
}

export type MakeCompiler = () => RegionCompiler

export const right: MakeCompiler = () => new ImmediateCompiler(FEATURE_NAMES)

/** Takes one instruction for another of the same length. */
export const mistaking = (instruction: string, other: string): MakeCompiler => () => new class extends ImmediateCompiler {
  override submit(plan: RegionPlan): void {
    super.submit({ ...plan, pages: plan.pages.map((page) => ({ ...page, bytes: replaced(page.bytes, instruction, other) })) })
  }
}(FEATURE_NAMES)

/** Changes the WebAssembly that regions become. */
export const patching = (code: string, other: string): MakeCompiler => () => {
  const translator = new RegionTranslator(FEATURE_NAMES)
  let plans: RegionPlan[] = []
  return {
    get pending() { return plans.length },
    submit: (plan) => void plans.push(plan),
    discarded: () => undefined,
    collect(): CompiledRegions | undefined {
      if (plans.length === 0) return undefined
      const { bytes, regions } = translator.translate(plans)
      plans = []
      return { module: new WebAssembly.Module(replaced(bytes, code, other)), regions, emitMilliseconds: 0, compileMilliseconds: 0 }
    },
  }
}

function replaced(bytes: Uint8Array, from: string, to: string): Uint8Array<ArrayBuffer> {
  const text = Buffer.from(bytes).toString('latin1')
  const [was, is] = [from, to].map((hex) => Buffer.from(hex, 'hex').toString('latin1'))
  return Uint8Array.from(Buffer.from(text.replaceAll(was, is), 'latin1'))
}
