import { beforeAll, describe, expect, test } from 'vitest'
import { gpa } from '../../../base/addresses.ts'
import { buildPartialEngine } from '../../interpreter/build-engine.ts'
import { Interpreter, Stop } from '../../interpreter/interpreter.ts'
import type { HelperContext } from '../../vector/index.ts'
import { EMPTY_PROFILE } from '../../interpreter/profile.ts'
import { features } from '../../isa/rows.ts'
import { Block, Segment, Slot } from '../../state/layout.ts'
import { VcpuState } from '../../state/vcpu-state.ts'
import type { Processor } from '../../system/processor.ts'
import { HelperOutcome } from '../../system/outcome.ts'
import { MemoryRig, TestRandom } from '../../testing/rig.ts'
import { vectorHelpers } from '../../vector/index.ts'

/*
 * As float-common-case.test.ts, for AVX, FMA and F16C: what is emitted for the common case answers as softfloat does, and is used.
 */

type Suffix = 'SS' | 'SD' | 'PS' | 'PD'

/** An instruction of YMM0, YMM1 and YMM2. */
interface Instruction {
  readonly name: string
  readonly code: number[]
  readonly helper: string
  /** Registers that are the helper's operands, in its order. */
  readonly sources: readonly number[]
  readonly lanes: 16 | 32 | 64
  /** Bits of the operands and of the result. */
  readonly size: number
  readonly resultSize: number
  readonly immediate?: number
}

const SUFFIXES: readonly Suffix[] = ['SS', 'SD', 'PS', 'PD']
const lanesOf = (suffix: Suffix): 32 | 64 => (suffix.endsWith('S') ? 32 : 64)
/** VEX.pp of map 0F: none, 66, F3, F2. */
const PREFIX = { PS: 0, PD: 1, SS: 2, SD: 3 }
/** ModRM: YMM0 and YMM2. */
const MODRM = 0xc2

const vex = (map: number, w: number, vvvv: number, l: number, pp: number): number[] => [0xc4, 0xe0 | map, w << 7 | (~vvvv & 15) << 3 | l << 2 | pp]
const lengthsOf = (suffix: Suffix): readonly (0 | 1)[] => (suffix.startsWith('P') ? [0, 1] : [0])
const bitsOf = (suffix: Suffix, l: number): number => (suffix.startsWith('P') ? 128 << l : lanesOf(suffix))

const instructions: Instruction[] = []
for (const suffix of SUFFIXES) {
  for (const l of lengthsOf(suffix)) {
    const size = bitsOf(suffix, l)
    const common = { lanes: lanesOf(suffix), size, resultSize: size }
    const add = (name: string, opcode: number, sources: readonly number[], immediate?: number): void => {
      const helper = (name === 'CMP' && suffix === 'SD' ? 'CMPSD_XMM' : name + suffix) + (size === 256 ? '256' : '')
      const unused = sources[0] === 2 && suffix.startsWith('P')
      const code = [...vex(1, 0, unused ? 0 : 1, l, PREFIX[suffix]), opcode, MODRM, ...immediate === undefined ? [] : [immediate]]
      instructions.push({ name: `V${helper}`, code, helper, sources, immediate, ...common })
    }
    for (const [name, opcode] of [['ADD', 0x58], ['MUL', 0x59], ['SUB', 0x5c], ['MIN', 0x5d], ['DIV', 0x5e], ['MAX', 0x5f]] as const) add(name, opcode, [1, 2])
    add('SQRT', 0x51, [2, 2])
    for (let predicate = 0; predicate < 32; predicate++) add('CMP', 0xc2, [1, 2], predicate)
  }
}
const FAMILIES = [['FMADD', 2], ['FMSUB', 4], ['FNMADD', 6], ['FNMSUB', 8], ['FMADDSUB', 0], ['FMSUBADD', 1]] as const
const ORDERS = [['132', 0x96, [0, 2, 1]], ['213', 0xa6, [1, 0, 2]], ['231', 0xb6, [1, 2, 0]]] as const
for (const [family, offset] of FAMILIES) {
  for (const [order, base, sources] of ORDERS) {
    for (const suffix of SUFFIXES.filter((each) => offset > 1 || each.startsWith('P'))) {
      for (const l of lengthsOf(suffix)) {
        const size = bitsOf(suffix, l)
        const helper = family + suffix + (size === 256 ? '256' : '')
        const opcode = base + offset + (suffix.startsWith('S') ? 1 : 0)
        const code = [...vex(2, lanesOf(suffix) === 64 ? 1 : 0, 1, l, 1), opcode, MODRM]
        instructions.push({ name: `V${family}${order}${suffix} ${size}`, code, helper, sources, lanes: lanesOf(suffix), size, resultSize: size })
      }
    }
  }
}
for (const l of [0, 1]) {
  const end = l === 0 ? '' : '256'
  instructions.push({
    name: `VCVTPH2PS${end}`, code: [...vex(2, 0, 0, l, 1), 0x13, MODRM], helper: `CVTPH2PS${end}`, sources: [2], lanes: 16,
    size: 64 << l, resultSize: 128 << l,
  })
  for (let immediate = 0; immediate < 8; immediate++) {
    instructions.push({
      // The source is in ModRM.reg: YMM2 to YMM0.
      name: `VCVTPS2PH${end}`, code: [...vex(3, 0, 0, l, 1), 0x1d, 0xd0, immediate], helper: `CVTPS2PH${end}`, sources: [2], lanes: 32,
      size: 128 << l, resultSize: 64 << l, immediate,
    })
  }
}

const CODE = 0x10000
const SLOT = 16
const CR4 = 0x40600

const rig = new MemoryRig(64)
const { state } = rig
const reference = new VcpuState(new ArrayBuffer(0x4000), 1024, 4096)
let interpreter: Interpreter
let calls = 0

/** 64-bit mode without paging, AVX enabled, the helpers counted. */
beforeAll(() => {
  const module = new WebAssembly.Module(buildPartialEngine(EMPTY_PROFILE).bytes)
  const counted = Object.fromEntries(Object.entries(vectorHelpers).map(([name, helper]) =>
    [name, (cpu: HelperContext) => { calls++; return helper(cpu) }]))
  const helpers = new Proxy(counted, { get: (table, name: string) => table[name] ?? (() => HelperOutcome.FAULT) })
  const processor = { state, mmu: rig.mmu } as unknown as Processor
  interpreter = new Interpreter({ processor, pool: rig.pool, frames: rig.frames, module, helpers, features: features(), arenaSize: 1 << 20 })
  state.setBlockU32(Block.EFER, 0x500)
  state.setBlockU32(Block.CR0, 1)
  state.setBlockU32(Block.CR4, CR4)
  state.setBlockU32(Block.XCR0, 7)
  reference.setBlockU32(Block.CR4, CR4)
  state.setSegmentAttributes(Segment.CS, 0xa09b)
  state.setSlotU32(Slot.SYSTEM_FLAGS, 2)
  instructions.forEach(({ code }, n) => rig.memory.write(gpa(CODE + n * SLOT), Uint8Array.from(code)))
})

// Operands.

const random = new TestRandom(4711)
const buffer = new DataView(new ArrayBuffer(8))
const encode = (lanes: 32 | 64, value: number): bigint => {
  if (lanes === 32) buffer.setFloat32(0, value)
  else buffer.setFloat64(0, value)
  return lanes === 32 ? BigInt(buffer.getUint32(0)) : buffer.getBigUint64(0)
}
const decode = (lanes: 32 | 64, bits: bigint): number => {
  if (lanes === 32) buffer.setUint32(0, Number(bits))
  else buffer.setBigUint64(0, bits)
  return lanes === 32 ? buffer.getFloat32(0) : buffer.getFloat64(0)
}
const SPECIAL_HALVES = [0n, 1n, 0x8000n, 0x3ffn, 0x400n, 0x7bffn, 0x7c00n, 0xfc00n, 0x7c01n]
const randomBits = (): bigint => (BigInt(random.next()) << 32n) | BigInt(random.next())

/** Exponents on both sides of what the common case admits, and of where results are denormal or overflow. */
const EXPONENTS = {
  32: [-149, -127, -126, -125, -100, -64, -63, -25, -24, -14, -15, 15, 16, 24, 25, 63, 64, 127],
  64: [-1074, -1022, -1021, -901, -900, -899, -512, -451, -450, -449, -54, -53, 53, 54, 449, 450, 451, 512, 899, 900, 901, 1023],
} as const
const SPECIAL = {
  32: [0n, 0x80000000n, 0x7f800000n, 0xff800000n, 0x7fc00000n, 0x7f800001n, 1n, 0x007fffffn],
  64: [0n, 1n << 63n, 0x7ffn << 52n, 0xfffn << 52n, 0x7ff8n << 48n, (0x7ffn << 52n) | 1n, 1n, (1n << 52n) - 1n],
} as const

/** A significand of 1 to 2, often with few bits or all of them. */
function significand(): number {
  const shape = random.below(4)
  const uniform = (random.next() * 2 ** 20 + random.below(2 ** 20)) / 2 ** 52
  const fraction = shape === 0 ? random.below(16) / 16 : shape === 1 ? 2 ** -random.below(53) : uniform
  return (shape === 3 ? 2 - 2 ** -52 : 1 + fraction) * (random.below(2) === 0 ? 1 : -1)
}

function operand(lanes: 32 | 64): bigint {
  switch (random.below(10)) {
    case 0: return random.pick(SPECIAL[lanes])
    case 1: return encode(lanes, significand() * 2 ** random.pick(EXPONENTS[lanes]))
    case 2: return BigInt.asUintN(lanes, randomBits())
    case 3: return encode(lanes, random.below(2000) - 1000)
    default: return encode(lanes, significand() * 2 ** (random.below(80) - 40))
  }
}

/** Nearly minus a product, or half a unit in the last place away from representable. */
function related(lanes: 32 | 64, x: bigint, y: bigint): bigint {
  const product = decode(lanes, x) * decode(lanes, y)
  const value = product * random.pick([-1, -1, 1, 2 ** 24, 2 ** 25, 2 ** 52, 2 ** 53, 2 ** 54, -(2 ** -53), 2 ** -54])
  const nudge = BigInt(random.below(3) - 1)
  return BigInt.asUintN(lanes, encode(lanes, value) + nudge)
}

function lanesFor(lanes: 16 | 32 | 64, others?: readonly (readonly bigint[])[]): bigint[] {
  return Array.from({ length: 256 / lanes }, (_, n) => {
    if (lanes === 16) return random.below(4) === 0 ? random.pick(SPECIAL_HALVES) : BigInt(random.below(0x7c00))
    return others !== undefined && random.below(3) > 0 ? related(lanes, others[0][n], others[1][n]) : operand(lanes)
  })
}

const MXCSR = [0x1fa0, 0x1fa0, 0x1fa0, 0x1f80, 0x1f80, 0x1f80, 0x3fa0, 0x5f80, 0x7fa0, 0x9fa0, 0x1fe0, 0x0f80, 0x1f00, 0x0000]

interface Sample { readonly registers: readonly bigint[][]; readonly lanes: 16 | 32 | 64; readonly mxcsr: number }

function set(to: VcpuState, at: number, lanes: 16 | 32 | 64, values: readonly bigint[]): void {
  const words = values.reduceRight((whole, value) => whole << BigInt(lanes) | value, 0n)
  for (let n = 0; n < values.length * lanes / 64; n++) to.u64[(at >> 3) + n] = BigInt.asUintN(64, words >> BigInt(n * 64))
}

function describeOutcome(of: VcpuState, at: number, size: number): string {
  let result = ''
  for (let bits = 0; bits < size; bits += 32) result = of.u32[(at + bits / 8) >> 2].toString(16).padStart(8, '0') + result
  return `${result} ${of.slotU32(Slot.MXCSR).toString(16)}`
}

function run(n: number, { registers, lanes, mxcsr }: Sample): string {
  registers.forEach((values, register) => set(state, state.slot + Slot.YMM + register * 32, lanes, values))
  state.setSlotU32(Slot.MXCSR, mxcsr)
  state.rip = BigInt(CODE + n * SLOT)
  if (interpreter.step() === Stop.EXCEPTION) return `exception ${state.slotU32(Slot.EXIT_VECTOR)} ${state.slotU32(Slot.MXCSR).toString(16)}`
  return describeOutcome(state, state.slot + Slot.YMM, instructions[n].resultSize)
}

/** What the helper alone makes of it. */
function expected(n: number, { registers, lanes, mxcsr }: Sample): string {
  const { helper, sources, size, resultSize, immediate } = instructions[n]
  const step = helper.endsWith('256') ? 32 : 16
  const at = reference.block + Block.ARGUMENTS
  const count = Math.max(size, 64) / lanes
  sources.forEach((register, position) => set(reference, at + position * step, lanes, registers[register].slice(0, count)))
  if (immediate !== undefined) reference.u32[(at + sources.length * step) >> 2] = immediate
  reference.setSlotU32(Slot.MXCSR, mxcsr)
  if (vectorHelpers[helper]({ state: reference }) === HelperOutcome.FAULT) {
    return `exception ${reference.slotU32(Slot.EXIT_VECTOR)} ${reference.slotU32(Slot.MXCSR).toString(16)}`
  }
  // Its two parts are the halves of one result.
  const result = (reference.block + Block.RESULT) >> 3
  if (helper === 'CVTPS2PH256') reference.u64[result + 1] = reference.u64[result + 2]
  return describeOutcome(reference, reference.block + Block.RESULT, resultSize)
}

function sampleFor({ lanes, helper, sources }: Instruction): Sample {
  const registers = [0, 1, 2].map(() => lanesFor(lanes))
  if (lanes !== 16 && helper.startsWith('F')) registers[sources[2]] = lanesFor(lanes, [registers[sources[0]], registers[sources[1]]])
  return { registers, lanes, mxcsr: random.pick(MXCSR) }
}

describe('the common case does what softfloat does', () => {
  test.each([...new Set(instructions.map(({ name }) => name))])('%s', (name) => {
    const wrong: string[] = []
    instructions.forEach((instruction, n) => {
      if (instruction.name !== name) return
      for (let round = 0; round < (instruction.immediate === undefined ? 300 : 40); round++) {
        const sample = sampleFor(instruction)
        const [got, wanted] = [run(n, sample), expected(n, sample)]
        if (got === wanted) continue
        const input = sample.registers.map((values) => values.map((value) => value.toString(16)).join(' ')).join(' / ')
        wrong.push(`${instruction.immediate ?? ''} ${input} MXCSR ${sample.mxcsr.toString(16)}: ${got}, softfloat ${wanted}`)
      }
    })
    expect(wrong.slice(0, 3)).toEqual([])
  })
})

/** x, y and z of results that come near an end of the range, or whose errors would leave it. */
const BORDERS = {
  32: [
    [1 - 2 ** -24, 2 ** -126, 0], [1 - 2 ** -24, -(2 ** -125), 2 ** -126], [2 ** -75, 2 ** -75, 0], [2 ** -63, 1.5 * 2 ** -63, -(2 ** -126)],
    [2 ** 127, 1.5, 2 ** 126], [2 ** 127, 2 - 2 ** -23, 2 ** 102], [2 ** 127, 2, -(2 ** 127)],
  ],
  64: [
    [2 ** -511 * (1 + 2 ** -52), 2 ** -511 * (1 + 2 ** -52), 0], [2 ** -511, 2 ** -511, 2 ** -1022], [1.9 * 2 ** 511, 1.9 * 2 ** 511, -1],
    [1 + 2 ** -52, 1, 1.5 * 2 ** -1022], [2 ** 500, 2 ** 500, -(2 ** 1000)], [3 * 2 ** 510, 2 ** 512, -(2 ** 1023)],
  ],
} as const

test('fused results on the borders are what softfloat says', () => {
  instructions.forEach((instruction, n) => {
    const { name, lanes, sources } = instruction
    if (lanes === 16 || !name.startsWith('VF')) return
    for (const operands of BORDERS[lanes]) {
      for (const mxcsr of [0x1f80, 0x1fa0]) {
        const registers = [0, 1, 2].map((register) => Array<bigint>(256 / lanes).fill(encode(lanes, operands[sources.indexOf(register)])))
        const sample: Sample = { registers, lanes, mxcsr }
        expect(`${name} ${operands.join(' ')} ${run(n, sample)}`).toBe(`${name} ${operands.join(' ')} ${expected(n, sample)}`)
      }
    }
  })
})

describe('softfloat is not needed', () => {
  const callsFor = (name: string, values: readonly number[], mxcsr: number): number => {
    const n = instructions.findIndex((instruction) => instruction.name === name)
    const lanes = instructions[n].lanes === 64 ? 64 : 32
    calls = 0
    const registers = values.map((value) => Array.from({ length: 256 / lanes }, () => encode(lanes, value)))
    expect(run(n, { registers, lanes, mxcsr })).not.toMatch(/exception/)
    return calls
  }
  const [PRECISION_SET, CLEAR] = [0x1fa0, 0x1f80]
  const names = instructions.map(({ name }) => name)

  test.each(names.filter((name) => name.startsWith('VF')))('%s: rounding with PE set, exact results with PE clear', (name) => {
    expect(callsFor(name, [0.1, 0.7, 1.3], PRECISION_SET)).toBe(0)
    expect(callsFor(name, [3, 5, 7.5], CLEAR)).toBe(0)
    expect(callsFor(name, [0, 0, 0], CLEAR)).toBe(0)
  })

  test.each(names.filter((name) => /^V(ADD|MUL|SUB|DIV)/.test(name)))('%s: rounding with PE set, exact results with PE clear', (name) => {
    expect(callsFor(name, [0, 0.1, 0.3], PRECISION_SET)).toBe(0)
    expect(callsFor(name, [0, 6, 4], CLEAR)).toBe(0)
  })

  test('a fused result that is rounded while PE is clear sets it', () => {
    expect(callsFor('VFMADD213SD 64', [0.1, 0.7, 1.3], CLEAR)).toBe(1)
    expect(state.slotU32(Slot.MXCSR)).toBe(PRECISION_SET)
  })

  test('halves of ordinary size', () => {
    expect(callsFor('VCVTPS2PH256', [0, 0, 1.5], CLEAR)).toBe(0)
    expect(callsFor('VCVTPS2PH', [0, 0, 0.1], PRECISION_SET)).toBe(0)
  })
})

test('what AVX does not write of a register is zero, or of its first source for scalars', () => {
  const n = instructions.findIndex(({ name }) => name === 'VADDSS')
  const registers = [0, 1, 2].map((register) => Array.from({ length: 8 }, (_, lane) => encode(32, register * 8 + lane)))
  run(n, { registers, lanes: 32, mxcsr: 0x1f80 })
  const lanes = Array.from({ length: 8 }, (_, lane) => decode(32, BigInt(state.slotU32(Slot.YMM + lane * 4))))
  expect(lanes).toEqual([8 + 16, 9, 10, 11, 0, 0, 0, 0])
})

describe('AVX may run', () => {
  const n = instructions.findIndex(({ name }) => name === 'VADDPS256')
  const sample: Sample = { registers: [[], [], []], lanes: 32, mxcsr: 0x1f80 }
  const outcome = (cr0: number, cr4: number, xcr0: number): string => {
    state.setBlockU32(Block.CR0, cr0)
    state.setBlockU32(Block.CR4, cr4)
    state.setBlockU32(Block.XCR0, xcr0)
    const text = run(n, sample)
    state.setBlockU32(Block.CR0, 1)
    state.setBlockU32(Block.CR4, CR4)
    state.setBlockU32(Block.XCR0, 7)
    return text.startsWith('exception') ? text.split(' ')[1] : 'runs'
  }

  test('with CR4.OSXSAVE and both parts of its state in XCR0, whatever CR4.OSFXSR and CR0.EM say', () => {
    expect(outcome(1, CR4, 7)).toBe('runs')
    expect(outcome(1, 0x40000, 7)).toBe('runs')
    expect(outcome(5, CR4, 7)).toBe('runs')
    for (const xcr0 of [1, 3, 5]) expect(outcome(1, CR4, xcr0)).toBe('6')
    expect(outcome(1, 0x600, 7)).toBe('6')
  })

  test('while CR0.TS is clear', () => {
    expect(outcome(9, CR4, 7)).toBe('7')
    expect(outcome(9, CR4, 3)).toBe('6')
  })
})
