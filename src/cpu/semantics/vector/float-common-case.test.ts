import { beforeAll, describe, expect, test } from 'vitest'
import { gpa } from '../../../base/addresses.ts'
import { buildPartialEngine } from '../../interpreter/build-engine.ts'
import { Interpreter, Stop } from '../../interpreter/interpreter.ts'
import type { HelperContext } from '../../vector/index.ts'
import { EMPTY_PROFILE } from '../../interpreter/profile.ts'
import { features } from '../../isa/rows.ts'
import { readFlags } from '../../state/flags.ts'
import { Block, Gpr, Segment, Slot } from '../../state/layout.ts'
import { VcpuState } from '../../state/vcpu-state.ts'
import type { Processor } from '../../system/processor.ts'
import { HelperOutcome } from '../../system/outcome.ts'
import { MemoryRig, TestRandom } from '../../testing/rig.ts'
import { vectorHelpers } from '../../vector/index.ts'

/*
 * The common case of floating-point instructions is the host's own arithmetic, all else softfloat's (which is tested against a
 * processor): here both answer the same, MXCSR included, for operands chosen to lie on the borders between the two.
 */

/** An instruction of XMM0 and XMM1 (or RAX): its code, its helper, and the helper's arguments. */
interface Instruction {
  readonly code: number[]
  readonly helper: string
  /** Whether the operands are binary32 lanes, binary64 lanes, or integers. */
  readonly lanes: 32 | 64 | 'integer'
  readonly kind: 'binary' | 'source' | 'unary-pair' | 'general-source' | 'to-general' | 'flags' | 'round'
  /** Bytes of the result. */
  readonly size: number
  readonly immediate?: number
}

const PREFIXES = { PS: [], PD: [0x66], SS: [0xf3], SD: [0xf2] } as const
type Suffix = keyof typeof PREFIXES
const lanesOf = (suffix: Suffix): 32 | 64 => (suffix.endsWith('S') ? 32 : 64)
const sizeOf = (suffix: Suffix): number => (suffix.startsWith('P') ? 16 : lanesOf(suffix) / 8)
/** XMM0 from XMM1. */
const MODRM = 0xc1
/** RAX and XMM0, the register form of conversions: reg 0, rm 0. */
const MODRM_SAME = 0xc0

const instructions: Instruction[] = []
const add = (instruction: Instruction): void => { instructions.push(instruction) }

for (const suffix of Object.keys(PREFIXES) as Suffix[]) {
  const common = { lanes: lanesOf(suffix), size: sizeOf(suffix) }
  for (const [name, opcode] of [['ADD', 0x58], ['MUL', 0x59], ['SUB', 0x5c], ['MIN', 0x5d], ['DIV', 0x5e], ['MAX', 0x5f]] as const) {
    add({ code: [...PREFIXES[suffix], 0x0f, opcode, MODRM], helper: name + suffix, kind: 'binary', ...common })
  }
  add({ code: [...PREFIXES[suffix], 0x0f, 0x51, MODRM], helper: `SQRT${suffix}`, kind: 'unary-pair', ...common })
  for (let immediate = 0; immediate < 8; immediate++) {
    const helper = suffix === 'SD' ? 'CMPSD_XMM' : `CMP${suffix}`
    add({ code: [...PREFIXES[suffix], 0x0f, 0xc2, MODRM, immediate], helper, kind: 'binary', immediate, ...common })
  }
  const round = { PS: 8, PD: 9, SS: 10, SD: 11 }[suffix]
  for (let immediate = 0; immediate < 16; immediate++) {
    add({ code: [0x66, 0x0f, 0x3a, round, MODRM, immediate], helper: `ROUND${suffix}`, kind: 'round', immediate, ...common })
  }
}
for (const suffix of ['SS', 'SD'] as const) {
  const prefix = suffix === 'SS' ? [] : [0x66]
  const lanes = lanesOf(suffix)
  add({ code: [...prefix, 0x0f, 0x2f, MODRM], helper: `COMI${suffix}`, lanes, kind: 'flags', size: 4 })
  add({ code: [...prefix, 0x0f, 0x2e, MODRM], helper: `UCOMI${suffix}`, lanes, kind: 'flags', size: 4 })
  for (const [t, opcode] of [['T', 0x2c], ['', 0x2d]] as const) {
    const helper = `CVT${t}${suffix}2SI`
    add({ code: [...PREFIXES[suffix], 0x0f, opcode, MODRM], helper: `${helper}32`, lanes, kind: 'to-general', size: 4 })
    add({ code: [...PREFIXES[suffix], 0x48, 0x0f, opcode, MODRM], helper: `${helper}64`, lanes, kind: 'to-general', size: 8 })
  }
  const size = sizeOf(suffix)
  add({ code: [...PREFIXES[suffix], 0x48, 0x0f, 0x2a, MODRM_SAME], helper: `CVTSI2${suffix}64`, lanes: 'integer', kind: 'general-source', size })
}
add({ code: [0xf3, 0x0f, 0x2a, MODRM_SAME], helper: 'CVTSI2SS32', lanes: 'integer', kind: 'general-source', size: 4 })
for (const [helper, code, lanes, size] of [
  ['CVTSS2SD', [0xf3, 0x0f, 0x5a], 32, 8], ['CVTSD2SS', [0xf2, 0x0f, 0x5a], 64, 4], ['CVTPS2PD', [0x0f, 0x5a], 32, 16],
  ['CVTPD2PS', [0x66, 0x0f, 0x5a], 64, 16], ['CVTDQ2PS', [0x0f, 0x5b], 'integer', 16], ['CVTPS2DQ', [0x66, 0x0f, 0x5b], 32, 16],
  ['CVTTPS2DQ', [0xf3, 0x0f, 0x5b], 32, 16], ['CVTTPD2DQ', [0x66, 0x0f, 0xe6], 64, 16], ['CVTPD2DQ', [0xf2, 0x0f, 0xe6], 64, 16],
] as const) add({ code: [...code, MODRM], helper, lanes, kind: 'source', size })
for (const [helper, code, lanes] of [
  ['HADDPS', [0xf2, 0x0f, 0x7c], 32], ['HADDPD', [0x66, 0x0f, 0x7c], 64], ['HSUBPS', [0xf2, 0x0f, 0x7d], 32],
  ['HSUBPD', [0x66, 0x0f, 0x7d], 64], ['ADDSUBPS', [0xf2, 0x0f, 0xd0], 32], ['ADDSUBPD', [0x66, 0x0f, 0xd0], 64],
] as const) add({ code: [...code, MODRM], helper, lanes, kind: 'binary', size: 16 })

const CODE = 0x10000
const SLOT = 16
const [XMM0, XMM1] = [Slot.YMM, Slot.YMM + 32]
const CR4_SSE = 0x600

const rig = new MemoryRig(64)
const { state } = rig
const reference = new VcpuState(new ArrayBuffer(0x4000), 1024, 4096)
let interpreter: Interpreter
let calls = 0

/** 64-bit mode without paging, the helpers counted. */
beforeAll(() => {
  const module = new WebAssembly.Module(buildPartialEngine(EMPTY_PROFILE).bytes)
  const counted = Object.fromEntries(Object.entries(vectorHelpers).map(([name, helper]) =>
    [name, (cpu: HelperContext) => { calls++; return helper(cpu) }]))
  const helpers = new Proxy(counted, { get: (table, name: string) => table[name] ?? (() => HelperOutcome.FAULT) })
  const processor = { state, mmu: rig.mmu } as unknown as Processor
  interpreter = new Interpreter({ processor, pool: rig.pool, frames: rig.frames, module, helpers, features: features(), arenaSize: 1 << 20 })
  state.setBlockU32(Block.EFER, 0x500)
  state.setBlockU32(Block.CR0, 1)
  state.setBlockU32(Block.CR4, CR4_SSE)
  reference.setBlockU32(Block.CR4, CR4_SSE)
  state.setSegmentAttributes(Segment.CS, 0xa09b)
  state.setSlotU32(Slot.SYSTEM_FLAGS, 2)
  instructions.forEach(({ code }, n) => rig.memory.write(gpa(CODE + n * SLOT), Uint8Array.from(code)))
})

// Operands.

const random = new TestRandom(20240)
const buffer = new DataView(new ArrayBuffer(8))
const bits64 = (value: number): bigint => { buffer.setFloat64(0, value); return buffer.getBigUint64(0) }
const bits32 = (value: number): bigint => { buffer.setFloat32(0, value); return BigInt(buffer.getUint32(0)) }

/** Numbers on both sides of each border, as multiples or neighbours of these, positive. */
const BORDERS = {
  32: [2 ** -126, 2 ** -125, 2 ** -149, 2 ** 127, 3.4028234663852886e38, 2 ** 24, 2 ** 31, 2 ** 63, 2 ** -63, 2 ** 64].map(bits32),
  64: [2 ** -1022, 2 ** -1021, 5e-324, Number.MAX_VALUE, 2 ** 53, 2 ** 31, 2 ** 63, 2 ** -511, 2 ** 512, 2 ** 127, 2 ** -126, 2 ** -149].map(bits64),
}
const SPECIAL = {
  32: [0n, 0x80000000n, 0x7f800000n, 0xff800000n, 0x7fc00000n, 0x7f800001n, 1n, 0x007fffffn],
  64: [0n, 1n << 63n, 0x7ffn << 52n, 0xfffn << 52n, 0x7ff8n << 48n, (0x7ffn << 52n) | 1n, 1n, (1n << 52n) - 1n],
}
const randomBits = (): bigint => (BigInt(random.next()) << 32n) | BigInt(random.next())

function operand(bits: 32 | 64): bigint {
  const encode = bits === 32 ? bits32 : bits64
  const mask = (1n << BigInt(bits)) - 1n
  switch (random.below(8)) {
    case 0: return random.pick(SPECIAL[bits])
    case 1: return (random.pick(BORDERS[bits]) + BigInt(random.below(5)) - 2n) & mask
    case 2: return encode(random.below(2000) - 1000)
    case 3: return encode((random.below(2000) - 1000) / 2 ** random.below(12))
    case 4: return encode((random.next() / 2 ** 16) * 2 ** (random.below(64) - 32))
    case 5: return encode(random.next() - 2 ** 31)
    case 6: return encode(Math.sqrt(random.below(10000)))
    default: return randomBits() & mask
  }
}

function integer(): bigint {
  const magnitude = random.pick([0n, 1n << 24n, 1n << 31n, 1n << 53n, 1n << 63n, BigInt(random.next()), randomBits()])
  return BigInt.asUintN(64, magnitude + BigInt(random.below(5)) - 2n)
}

function vectorOf(lanes: Instruction['lanes']): [bigint, bigint] {
  const half = (): bigint => lanes === 'integer' ? integer() : lanes === 64 ? operand(64) : operand(32) | operand(32) << 32n
  return [half(), half()]
}

const MXCSR = [0x1fa0, 0x1fa0, 0x1f80, 0x1f80, 0x1f80, 0x3fa0, 0x5f80, 0x7fa0, 0x9fa0, 0x1fe0, 0x0f80, 0x1f00, 0x0000, 0x1c80]

interface Sample { readonly a: [bigint, bigint]; readonly b: [bigint, bigint]; readonly mxcsr: number }

function set128(to: VcpuState, at: number, [low, high]: readonly [bigint, bigint]): void {
  to.u64[at >> 3] = low
  to.u64[(at >> 3) + 1] = high
}

/** Runs the instruction and describes its outcome. */
function run(n: number, { a, b, mxcsr }: Sample): string {
  const { kind, size } = instructions[n]
  set128(state, state.slot + XMM0, a)
  set128(state, state.slot + XMM1, b)
  state.setGpr(Gpr.RAX, b[0])
  state.setSlotU32(Slot.MXCSR, mxcsr)
  state.rip = BigInt(CODE + n * SLOT)
  const stop = interpreter.step()
  if (stop === Stop.EXCEPTION) return `exception ${state.slotU32(Slot.EXIT_VECTOR)} ${hex(BigInt(state.slotU32(Slot.MXCSR)))}`
  const result = kind === 'flags' ? BigInt(readFlags(state) & 0x8d5) : kind === 'to-general' ? state.gpr(Gpr.RAX) : state.slotU64(XMM0)
  return outcome(result, size === 16 ? state.slotU64(XMM0 + 8) : 0n, size, state)
}

/** What the helper alone makes of it. */
function expected(n: number, { a, b, mxcsr }: Sample): string {
  const { kind, size, helper, immediate } = instructions[n]
  const first = kind === 'binary' || kind === 'flags' ? a : b
  const second: [bigint, bigint] = kind === 'round' ? [BigInt(immediate ?? 0), 0n] : b
  const at = reference.block + Block.ARGUMENTS
  set128(reference, at, first)
  set128(reference, at + 16, second)
  set128(reference, at + 32, [BigInt(immediate ?? 0), 0n])
  reference.setSlotU32(Slot.MXCSR, mxcsr)
  if (vectorHelpers[helper]({ state: reference }) === HelperOutcome.FAULT) {
    return `exception ${reference.slotU32(Slot.EXIT_VECTOR)} ${hex(BigInt(reference.slotU32(Slot.MXCSR)))}`
  }
  return outcome(reference.blockU64(Block.RESULT), reference.blockU64(Block.RESULT + 8), size, reference)
}

const hex = (value: bigint): string => value.toString(16)

function outcome(low: bigint, high: bigint, size: number, of: VcpuState): string {
  const result = size === 16 ? `${hex(high)} ${hex(low)}` : hex(BigInt.asUintN(size * 8, low))
  return `${result} ${hex(BigInt(of.slotU32(Slot.MXCSR)))}`
}

describe('the common case does what softfloat does', () => {
  const names = [...new Set(instructions.map(({ helper }) => helper))]
  test.each(names)('%s', (name) => {
    const wrong: string[] = []
    instructions.forEach((instruction, n) => {
      if (instruction.helper !== name) return
      for (let round = 0; round < (instruction.immediate === undefined ? 400 : 100); round++) {
        const sample: Sample = { a: vectorOf(instruction.lanes), b: vectorOf(instruction.lanes), mxcsr: random.pick(MXCSR) }
        const [got, wanted] = [run(n, sample), expected(n, sample)]
        const input = [...sample.a, ...sample.b].map(hex).join(' ')
        if (got !== wanted) wrong.push(`${instruction.immediate ?? ''} ${input} MXCSR ${hex(BigInt(sample.mxcsr))}: ${got}, softfloat ${wanted}`)
      }
    })
    expect(wrong.slice(0, 5)).toEqual([])
  })
})

/** Pairs whose product or quotient is rounded up to the smallest normal number, or has one bit more than fits. */
const BORDER_PAIRS = {
  32: [[1 - 2 ** -24, 2 ** -126], [2 ** -126, 1 + 2 ** -23], [2 ** 13 - 1, 2 ** 13 - 1], [2 ** 12 - 1, 2 ** 12 - 1]],
  64: [[1 - 2 ** -53, 2 ** -1022], [2 ** -1022, 1 + 2 ** -52], [2 ** 27 - 1, 2 ** 27 - 1], [2 ** 26 - 1, 2 ** 26 - 1]],
} as const

test('results on the borders are what softfloat says', () => {
  instructions.forEach((instruction, n) => {
    const { lanes, kind, helper } = instruction
    if (lanes === 'integer' || kind !== 'binary') return
    const encode = lanes === 32 ? (value: number) => bits32(value) << 32n | bits32(value) : bits64
    for (const [left, right] of BORDER_PAIRS[lanes]) {
      for (const mxcsr of [0x1f80, 0x1fa0]) {
        const sample: Sample = { a: [encode(left), encode(left)], b: [encode(right), encode(right)], mxcsr }
        expect(`${helper} ${run(n, sample)}`).toBe(`${helper} ${expected(n, sample)}`)
      }
    }
  })
})

describe('softfloat is not needed', () => {
  const callsFor = (helper: string, a: number, b: number, mxcsr: number): number => {
    const n = instructions.findIndex((instruction) => instruction.helper === helper)
    const encode = instructions[n].lanes === 32 ? (value: number) => bits32(value) << 32n | bits32(value) : bits64
    calls = 0
    run(n, { a: [encode(a), encode(a)], b: [encode(b), encode(b)], mxcsr })
    return calls
  }
  const [PRECISION_SET, CLEAR] = [0x1fa0, 0x1f80]

  test.each(['ADD', 'SUB', 'MUL', 'DIV', 'SQRT', 'MIN', 'MAX'].flatMap((name) => ['SS', 'SD', 'PS', 'PD'].map((suffix) => name + suffix)))(
    '%s: rounding with PE set, exact results with PE clear', (helper) => {
      expect(callsFor(helper, 0.1, 0.2, PRECISION_SET)).toBe(0)
      expect(callsFor(helper, 6, 4, CLEAR)).toBe(0)
    })

  test('zero operands are ordinary', () => {
    for (const helper of ['ADDSD', 'MULSD', 'DIVSD', 'SUBPS', 'MULPD']) expect(callsFor(helper, 0, 3, CLEAR)).toBe(0)
  })

  test('a result that is rounded while PE is clear sets it', () => {
    expect(callsFor('ADDSD', 0.1, 0.2, CLEAR)).toBe(1)
    expect(state.slotU32(Slot.MXCSR)).toBe(PRECISION_SET)
  })

  test('floor and truncation of fractions', () => {
    const floor = instructions.findIndex(({ helper, immediate }) => helper === 'ROUNDSD' && immediate === 9)
    calls = 0
    expect(run(floor, { a: [0n, 0n], b: [bits64(2.5), 0n], mxcsr: CLEAR })).toBe(`${hex(bits64(2))} 1f80`)
    expect(calls).toBe(0)
    expect(callsFor('CVTTSD2SI32', 0, 2.5, PRECISION_SET)).toBe(0)
  })
})
