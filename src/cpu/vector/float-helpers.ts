import { recordFault, Vector } from '../mmu/faults.ts'
import { reciprocal, reciprocalSquareRoot } from '../softfloat/approximate.ts'
import {
  addSubtract32, addSubtract64, arithmetic32, arithmetic64, compare32, compare64, compareFlags32, compareFlags64, dotProduct32,
  dotProduct64, horizontal32, horizontal64,
} from '../softfloat/sse.ts'
import {
  binary32To64, binary32ToInteger, binary64To32, binary64ToInteger, integerTo32, integerTo64, round32, round64,
} from '../softfloat/sse-convert.ts'
import { SseOperation } from '../softfloat/sse-lanes.ts'
import type { SseOperationCode } from '../softfloat/sse-lanes.ts'
import { SseStatus } from '../softfloat/sse-status.ts'
import { Slot } from '../state/layout.ts'
import type { VcpuState } from '../state/vcpu-state.ts'
import { HelperOutcome } from '../system/outcome.ts'
import { StatusWord } from '../x87/registers.ts'
import type { Helper, HelperTable } from './helper.ts'
import { argumentWord, resultWord } from './helper.ts'

/**
 * SSE floating-point instructions with everything that the inline code leaves out: special operands, other rounding modes, DAZ, FTZ,
 * exact MXCSR flags, and unmasked exceptions. A helper has the name of its mnemonic.
 */

/** Work on words: the result at `to`, the operands at `a` and `b`; `third` is the third argument's first word, an immediate. */
type Work = (words: Uint32Array, to: number, a: number, b: number, third: number) => void

const status = new SseStatus()
const OSXMMEXCPT = 0x400

/** A conversion of MMX registers enters MMX even if it then raises an exception. */
function helper(work: Work, mmx = false): Helper {
  return ({ state }) => {
    if (mmx) enterMmx(state)
    const mxcsr = state.slotU32(Slot.MXCSR)
    status.load(mxcsr)
    work(state.u32, resultWord(state), argumentWord(state, 0), argumentWord(state, 1), state.u32[argumentWord(state, 2)])
    state.setSlotU32(Slot.MXCSR, mxcsr | status.raised)
    if (!status.faults) return HelperOutcome.OK
    // Where the system does not handle #XM, the exception is #UD (SDM Vol. 3A §2.5, CR4.OSXMMEXCPT).
    recordFault(state, (state.cr4 & OSXMMEXCPT) !== 0 ? Vector.XM : Vector.UD, 0)
    return HelperOutcome.FAULT
  }
}

function enterMmx(state: VcpuState): void {
  state.setSlotU16(Slot.FSW, state.slotU16(Slot.FSW) & ~StatusWord.TOP)
  state.setSlotU16(Slot.FTW, 0xff)
}

const table: HelperTable = {}
const add = (mnemonic: string, work: Work): void => { table[mnemonic] = helper(work) }
const addMmx = (mnemonic: string, work: Work): void => { table[mnemonic] = helper(work, true) }
const lanes = (count: number, run: (lane: number) => void): void => { for (let lane = 0; lane < count; lane++) run(lane) }

for (const [name, operation] of Object.entries(SseOperation) as [string, SseOperationCode][]) {
  add(`${name}SS`, (words, to, a, b) => arithmetic32(operation, words, to, a, b, 1, status))
  add(`${name}PS`, (words, to, a, b) => arithmetic32(operation, words, to, a, b, 4, status))
  add(`${name}SD`, (words, to, a, b) => arithmetic64(operation, words, to, a, b, 1, status))
  add(`${name}PD`, (words, to, a, b) => arithmetic64(operation, words, to, a, b, 2, status))
}

add('CMPSS', (words, to, a, b, predicate) => compare32(predicate, words, to, a, b, 1, status))
add('CMPPS', (words, to, a, b, predicate) => compare32(predicate, words, to, a, b, 4, status))
add('CMPSD_XMM', (words, to, a, b, predicate) => compare64(predicate, words, to, a, b, 1, status))
add('CMPPD', (words, to, a, b, predicate) => compare64(predicate, words, to, a, b, 2, status))
for (const [name, quiet] of [['COMI', false], ['UCOMI', true]] as const) {
  add(`${name}SS`, (words, to, a, b) => { words[to] = compareFlags32(words[a], words[b], quiet, status) })
  add(`${name}SD`, (words, to, a, b) => { words[to] = compareFlags64(words, a, b, quiet, status) })
}

for (const [name, operation] of [['HADD', SseOperation.ADD], ['HSUB', SseOperation.SUB]] as const) {
  add(`${name}PS`, (words, to, a, b) => horizontal32(operation, words, to, a, b, status))
  add(`${name}PD`, (words, to, a, b) => horizontal64(operation, words, to, a, b, status))
}
add('ADDSUBPS', (words, to, a, b) => addSubtract32(words, to, a, b, status))
add('ADDSUBPD', (words, to, a, b) => addSubtract64(words, to, a, b, status))
add('DPPS', (words, to, a, b, immediate) => dotProduct32(immediate, words, to, a, b, status))
add('DPPD', (words, to, a, b, immediate) => dotProduct64(immediate, words, to, a, b, status))

// The approximations take their operand second and raise nothing.
for (const [name, approximate] of [['RCP', reciprocal], ['RSQRT', reciprocalSquareRoot]] as const) {
  add(`${name}SS`, (words, to, _a, b) => { words[to] = approximate(words[b]) })
  add(`${name}PS`, (words, to, _a, b) => lanes(4, (lane) => { words[to + lane] = approximate(words[b + lane]) }))
}

// Conversions: the operand is the first argument.

const signOf = (word: number): number => (word | 0) >> 31

add('CVTSI2SS32', (words, to, a) => { words[to] = integerTo32(words[a], signOf(words[a]), status) })
add('CVTSI2SS64', (words, to, a) => { words[to] = integerTo32(words[a], words[a + 1], status) })
add('CVTSI2SD64', (words, to, a) => integerTo64(words, to, words[a], words[a + 1], status))
for (const [mnemonic, count] of [['CVTDQ2PS', 4], ['CVTPI2PS', 2]] as const) {
  add(mnemonic, (words, to, a) => {
    lanes(count, (lane) => { words[to + lane] = integerTo32(words[a + lane], signOf(words[a + lane]), status) })
  })
}
add('CVTSS2SD', (words, to, a) => binary32To64(words, to, words[a], status))
add('CVTPS2PD', (words, to, a) => lanes(2, (lane) => binary32To64(words, to + lane * 2, words[a + lane], status)))
add('CVTSD2SS', (words, to, a) => { words[to] = binary64To32(words, a, status) })
add('CVTPD2PS', (words, to, a) => {
  lanes(2, (lane) => { words[to + lane] = binary64To32(words, a + lane * 2, status) })
  words[to + 2] = words[to + 3] = 0
})

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
  add(`CVT${t}PS2DQ`, fromSingles(4))
  addMmx(`CVT${t}PS2PI`, fromSingles(2))
  add(`CVT${t}PD2DQ`, fromDoubles)
  addMmx(`CVT${t}PD2PI`, fromDoubles)
}

// ROUNDxx: the immediate is the second argument.
add('ROUNDSS', (words, to, a, immediate) => { words[to] = round32(words[immediate], words[a], status) })
add('ROUNDPS', (words, to, a, immediate) => {
  lanes(4, (lane) => { words[to + lane] = round32(words[immediate], words[a + lane], status) })
})
add('ROUNDSD', (words, to, a, immediate) => round64(words[immediate], words, to, a, status))
add('ROUNDPD', (words, to, a, immediate) => {
  lanes(2, (lane) => round64(words[immediate], words, to + lane * 2, a + lane * 2, status))
})

export const floatHelpers: Readonly<HelperTable> = table
