/** REP MOVS and REP STOS, which engines do in runs, against a loop over elements: the operands overlap, cross pages and go down. */
import { describe, expect, it } from 'vitest'
import { backgroundData, backgroundState, CODE, DATA, WRITABLE_SIZE } from '../vectors/environment.ts'
import { outlinedEngine } from '../vectors/interpreter/engines.ts'
import { Random } from '../vectors/random.ts'
import { Word } from '../vectors/state.ts'
import type { Program } from './program.ts'
import { SlicedRunner } from './runners.ts'

const RAX = 0, RCX = 1, RSI = 6, RDI = 7
const DF = 0x400n
const UD2 = [0x0f, 0x0b]
const OFFSET = 0x400
const RUNS = 1500
const MOVES: Readonly<Record<number, readonly number[]>> = { 1: [0xa4], 2: [0x66, 0xa5], 4: [0xa5], 8: [0x48, 0xa5] }
const STORES: Readonly<Record<number, readonly number[]>> = { 1: [0xaa], 2: [0x66, 0xab], 4: [0xab], 8: [0x48, 0xab] }

interface Repeated { readonly moves: boolean; readonly size: number; readonly count: number; readonly from: number; readonly to: number; readonly down: boolean }

/** Offsets in the writable pages such that all elements are inside them. */
function randomRepeated(random: Random): Repeated {
  const size = 1 << random.below(4)
  const count = random.below(random.oneIn(3) ? 600 : 20)
  const reach = Math.max(0, count - 1) * size
  const down = random.oneIn(4)
  const place = (): number => random.below(WRITABLE_SIZE - reach - size + 1) + (down ? reach : 0)
  const from = place()
  const near = from + random.below(33) - 16
  const isInside = near >= (down ? reach : 0) && near + size + (down ? 0 : reach) <= WRITABLE_SIZE
  return { moves: random.oneIn(2), size, count, from, to: isInside && random.oneIn(2) ? near : place(), down }
}

/** Element by element, as the SDM has it. `value`: what STOS stores, lowest byte first. */
function model({ moves, size, count, from, to, down }: Repeated, value: Uint8Array): Uint8Array {
  const data = backgroundData().slice()
  for (let n = 0; n < count; n++) {
    const step = (down ? -n : n) * size
    data.set(moves ? data.slice(from + step, from + step + size) : value.subarray(0, size), to + step)
  }
  return data
}

function program({ moves, size, count, from, to, down }: Repeated, value: bigint): Program {
  const state = backgroundState(1, 64)
  state[RAX] = value
  state[RCX] = BigInt(count)
  state[RSI] = BigInt(DATA + from)
  state[RDI] = BigInt(DATA + to)
  state[Word.RIP] = BigInt(CODE + OFFSET)
  if (down) state[Word.RFLAGS] |= DF
  // REP stands behind the operand-size prefix and before REX.
  const [first, ...rest] = (moves ? MOVES : STORES)[size]
  const code = first === 0x66 ? [0x66, 0xf3, ...rest] : [0xf3, first, ...rest]
  return { mode: 64, offset: OFFSET, code: Uint8Array.from([...code, ...UD2]), state }
}

describe('REP MOVS and REP STOS', () => {
  const runner = new SlicedRunner('outlined handlers', outlinedEngine(), 1000)
  const random = new Random(5)

  it('do what a loop over the elements does', () => {
    for (let run = 0; run < RUNS; run++) {
      const repeated = randomRepeated(random)
      // Half of what STOS stores has equal bytes, which are filled in at once.
      const value = random.oneIn(2) ? BigInt(random.below(256)) * 0x0101010101010101n : random.u64()
      const bytes = new Uint8Array(BigUint64Array.of(value).buffer)
      const result = runner.run(program(repeated, value))
      const moved = BigInt(repeated.count * repeated.size) * (repeated.down ? -1n : 1n)
      const registers = [RCX, RDI, RSI].map((register) => result.state[register])
      const end = [0n, BigInt(DATA + repeated.to) + moved, BigInt(DATA + repeated.from) + (repeated.moves ? moved : 0n)]
      expect(registers, JSON.stringify(repeated)).toEqual(end)
      expect(Buffer.compare(result.data, model(repeated, bytes)), JSON.stringify(repeated)).toBe(0)
      expect(result.exception).toMatch(/^6 /)
    }
  })
})
