import { recordFault, Vector } from '../mmu/faults.ts'
import { reciprocal, reciprocalSquareRoot } from '../softfloat/approximate.ts'
import {
  addSubtract32, addSubtract64, arithmetic32, arithmetic64, compare32, compare64, compareFlags32, compareFlags64, dotProduct32,
  dotProduct64, horizontal32, horizontal64,
} from '../softfloat/sse.ts'
import {
  binary32To64, binary32ToInteger, binary64To32, binary64ToInteger, integerTo32, integerTo64, round32, round64,
} from '../softfloat/sse-convert.ts'
import { FusedSign, fusedLanes32, fusedLanes64 } from '../softfloat/sse-fused.ts'
import { binary16To32, binary32To16 } from '../softfloat/sse-half.ts'
import { SseOperation } from '../softfloat/sse-lanes.ts'
import type { SseOperationCode } from '../softfloat/sse-lanes.ts'
import { SseStatus } from '../softfloat/sse-status.ts'
import { Slot } from '../state/layout.ts'
import type { VcpuState } from '../state/vcpu-state.ts'
import { HelperOutcome } from '../system/outcome.ts'
import { StatusWord } from '../x87/registers.ts'
import type { HelperContext, HelperTable } from './helper.ts'
import { argumentWord, resultWord } from './helper.ts'

/**
 * Floating-point instructions with everything that the inline code leaves out: special operands, other rounding modes, DAZ, FTZ,
 * exact MXCSR flags, and unmasked exceptions. A helper has the name of SSE's mnemonic; the one for 256 bits ends in that.
 */

/**
 * Work on words: the result at `to`, the first argument of the instruction at `a`, the second at `b`, the third at `c`; an immediate is
 * the last of them. An argument of 256 bits is two of the helper's.
 */
type Work = (words: Uint32Array, to: number, a: number, b: number, c: number) => void

const status = new SseStatus()
const OSXMMEXCPT = 0x400

/** Runs an instruction whose operands have `parts` times 128 bits. */
function run(work: Work, { state }: HelperContext, parts: number): number {
  const mxcsr = state.slotU32(Slot.MXCSR)
  status.load(mxcsr)
  const argument = (n: number): number => argumentWord(state, n * parts)
  work(state.u32, resultWord(state), argument(0), argument(1), argument(2))
  state.setSlotU32(Slot.MXCSR, mxcsr | status.raised)
  if (!status.faults) return HelperOutcome.OK
  // Where the system does not handle #XM, the exception is #UD (SDM Vol. 3A §2.5, CR4.OSXMMEXCPT).
  recordFault(state, (state.cr4 & OSXMMEXCPT) !== 0 ? Vector.XM : Vector.UD, 0)
  return HelperOutcome.FAULT
}

function enterMmx(state: VcpuState): void {
  state.setSlotU16(Slot.FSW, state.slotU16(Slot.FSW) & ~StatusWord.TOP)
  state.setSlotU16(Slot.FTW, 0xff)
}

const table: HelperTable = {}
const add = (mnemonic: string, work: Work): void => { table[mnemonic] = (cpu) => run(work, cpu, 1) }
const add256 = (mnemonic: string, work: Work): void => { table[`${mnemonic}256`] = (cpu) => run(work, cpu, 2) }
/** A conversion of MMX registers enters MMX even if it then raises an exception. */
function addMmx(mnemonic: string, work: Work): void {
  table[mnemonic] = (cpu) => {
    enterMmx(cpu.state)
    return run(work, cpu, 1)
  }
}
const lanes = (count: number, run: (lane: number) => void): void => { for (let lane = 0; lane < count; lane++) run(lane) }

/** A packed instruction in both sizes, given the number of 128-bit parts. */
function addPacked(mnemonic: string, work: (parts: number) => Work): void {
  add(mnemonic, work(1))
  add256(mnemonic, work(2))
}

/** The same where every 128 bits are worked on alike. */
function addByLane(mnemonic: string, work: Work): void {
  addPacked(mnemonic, (parts) => (words, to, a, b, c) => {
    for (let at = 0; at < parts * 4; at += 4) work(words, to + at, a + at, b + at, c)
  })
}

/** Where a 256-bit instruction's upper half waits until it is asked for. */
table.secondResult = ({ state }) => {
  const result = resultWord(state)
  state.u32.copyWithin(result, result + 4, result + 8)
  return HelperOutcome.OK
}

for (const [name, operation] of Object.entries(SseOperation) as [string, SseOperationCode][]) {
  add(`${name}SS`, (words, to, a, b) => arithmetic32(operation, words, to, a, b, 1, status))
  add(`${name}SD`, (words, to, a, b) => arithmetic64(operation, words, to, a, b, 1, status))
  addPacked(`${name}PS`, (parts) => (words, to, a, b) => arithmetic32(operation, words, to, a, b, parts * 4, status))
  addPacked(`${name}PD`, (parts) => (words, to, a, b) => arithmetic64(operation, words, to, a, b, parts * 2, status))
}

add('CMPSS', (words, to, a, b, c) => compare32(words[c], words, to, a, b, 1, status))
add('CMPSD_XMM', (words, to, a, b, c) => compare64(words[c], words, to, a, b, 1, status))
addPacked('CMPPS', (parts) => (words, to, a, b, c) => compare32(words[c], words, to, a, b, parts * 4, status))
addPacked('CMPPD', (parts) => (words, to, a, b, c) => compare64(words[c], words, to, a, b, parts * 2, status))
for (const [name, quiet] of [['COMI', false], ['UCOMI', true]] as const) {
  add(`${name}SS`, (words, to, a, b) => { words[to] = compareFlags32(words[a], words[b], quiet, status) })
  add(`${name}SD`, (words, to, a, b) => { words[to] = compareFlags64(words, a, b, quiet, status) })
}

for (const [name, operation] of [['HADD', SseOperation.ADD], ['HSUB', SseOperation.SUB]] as const) {
  addByLane(`${name}PS`, (words, to, a, b) => horizontal32(operation, words, to, a, b, status))
  addByLane(`${name}PD`, (words, to, a, b) => horizontal64(operation, words, to, a, b, status))
}
addByLane('ADDSUBPS', (words, to, a, b) => addSubtract32(words, to, a, b, status))
addByLane('ADDSUBPD', (words, to, a, b) => addSubtract64(words, to, a, b, status))
addPacked('DPPS', (parts) => (words, to, a, b, c) => dotProduct32(words[c], words, to, a, b, parts * 4, status))
add('DPPD', (words, to, a, b, c) => dotProduct64(words[c], words, to, a, b, status))

// The approximations raise nothing.
for (const [name, approximate] of [['RCP', reciprocal], ['RSQRT', reciprocalSquareRoot]] as const) {
  add(`${name}SS`, (words, to, a) => { words[to] = approximate(words[a]) })
  add(`${name}PS`, (words, to, a) => lanes(4, (lane) => { words[to + lane] = approximate(words[a + lane]) }))
}

// Conversions of integers.

const signOf = (word: number): number => (word | 0) >> 31

add('CVTSI2SS32', (words, to, a) => { words[to] = integerTo32(words[a], signOf(words[a]), status) })
add('CVTSI2SS64', (words, to, a) => { words[to] = integerTo32(words[a], words[a + 1], status) })
add('CVTSI2SD64', (words, to, a) => integerTo64(words, to, words[a], words[a + 1], status))
const singlesOf = (count: number): Work => (words, to, a) => {
  lanes(count, (lane) => { words[to + lane] = integerTo32(words[a + lane], signOf(words[a + lane]), status) })
}
add('CVTPI2PS', singlesOf(2))
addPacked('CVTDQ2PS', (parts) => singlesOf(parts * 4))

for (const truncate of [false, true]) {
  const t = truncate ? 'T' : ''
  for (const bits of [32, 64] as const) {
    add(`CVT${t}SS2SI${bits}`, (words, to, a) => binary32ToInteger(words, to, words[a], bits, truncate, status))
    add(`CVT${t}SD2SI${bits}`, (words, to, a) => binary64ToInteger(words, to, a, bits, truncate, status))
  }
  const fromSingles = (count: number): Work => (words, to, a) => {
    lanes(count, (lane) => binary32ToInteger(words, to + lane, words[a + lane], 32, truncate, status))
  }
  const fromDoubles: Work = (words, to, a) => {
    lanes(2, (lane) => binary64ToInteger(words, to + lane, a + lane * 2, 32, truncate, status))
    words[to + 2] = words[to + 3] = 0
  }
  addPacked(`CVT${t}PS2DQ`, (parts) => fromSingles(parts * 4))
  addMmx(`CVT${t}PS2PI`, fromSingles(2))
  addByLane(`CVT${t}PD2DQ`, fromDoubles)
  addMmx(`CVT${t}PD2PI`, fromDoubles)
}

// Conversions between precisions. Those that widen have operands of half the size.

add('CVTSS2SD', (words, to, a) => binary32To64(words, to, words[a], status))
add('CVTSD2SS', (words, to, a) => { words[to] = binary64To32(words, a, status) })
addPacked('CVTPS2PD', (parts) => (words, to, a) => {
  lanes(parts * 2, (lane) => binary32To64(words, to + lane * 2, words[a + lane], status))
})
addByLane('CVTPD2PS', (words, to, a) => {
  lanes(2, (lane) => { words[to + lane] = binary64To32(words, a + lane * 2, status) })
  words[to + 2] = words[to + 3] = 0
})

const half = (words: Uint32Array, at: number, lane: number): number => (words[at + (lane >> 1)] >>> ((lane & 1) * 16)) & 0xffff
addPacked('CVTPH2PS', (parts) => (words, to, a) => {
  lanes(parts * 4, (lane) => { words[to + lane] = binary16To32(half(words, a, lane), status) })
})
const toHalves = (words: Uint32Array, to: number, a: number, immediate: number): void => {
  words.fill(0, to, to + 4)
  lanes(4, (lane) => { words[to + (lane >> 1)] |= binary32To16(immediate, words[a + lane], status) << ((lane & 1) * 16) })
}
addPacked('CVTPS2PH', (parts) => (words, to, a, b) => {
  for (let at = 0; at < parts * 4; at += 4) toHalves(words, to + at, a + at, words[b])
})

// ROUNDxx.
add('ROUNDSS', (words, to, a, b) => { words[to] = round32(words[b], words[a], status) })
add('ROUNDSD', (words, to, a, b) => round64(words[b], words, to, a, status))
addPacked('ROUNDPS', (parts) => (words, to, a, b) => {
  lanes(parts * 4, (lane) => { words[to + lane] = round32(words[b], words[a + lane], status) })
})
addPacked('ROUNDPD', (parts) => (words, to, a, b) => {
  lanes(parts * 2, (lane) => round64(words[b], words, to + lane * 2, a + lane * 2, status))
})

// Fused multiply-add: a × b + c, by the signs of even and odd lanes.

const { NEGATE_ADDEND, NEGATE_PRODUCT } = FusedSign
const FUSED = {
  FMADD: [0, 0], FMSUB: [NEGATE_ADDEND, NEGATE_ADDEND], FNMADD: [NEGATE_PRODUCT, NEGATE_PRODUCT],
  FNMSUB: [NEGATE_PRODUCT | NEGATE_ADDEND, NEGATE_PRODUCT | NEGATE_ADDEND], FMADDSUB: [NEGATE_ADDEND, 0], FMSUBADD: [0, NEGATE_ADDEND],
} as const
for (const [name, signs] of Object.entries(FUSED)) {
  const singles = (count: number): Work => (words, to, a, b, c) => fusedLanes32(signs, words, to, a, b, c, count, status)
  const doubles = (count: number): Work => (words, to, a, b, c) => fusedLanes64(signs, words, to, a, b, c, count, status)
  add(`${name}SS`, singles(1))
  add(`${name}SD`, doubles(1))
  addPacked(`${name}PS`, (parts) => singles(parts * 4))
  addPacked(`${name}PD`, (parts) => doubles(parts * 2))
}

export const floatHelpers: Readonly<HelperTable> = table
