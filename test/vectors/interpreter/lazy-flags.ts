/**
 * Arithmetic flags as an instruction might have left them: as operands of what produced them (state/flags.ts), so that vectors also
 * try what reads lazy flags.
 */
import { ARITHMETIC_FLAGS, FLAG_OVERRIDDEN, FlagKind, materialiseFlags } from '../../../src/cpu/state/flags.ts'
import { Slot } from '../../../src/cpu/state/layout.ts'
import type { VcpuState } from '../../../src/cpu/state/vcpu-state.ts'
import { Random } from '../random.ts'

interface Producer { readonly kind: number; readonly a: bigint; readonly b: bigint; readonly override: number }

const SAMPLES = 1200
const KEPT = 12
const SHIFTS: readonly number[] = [FlagKind.SHL, FlagKind.SHR, FlagKind.SAR]
const CORNERS = [0n, 1n, -1n, 0x7fn, -0x80n, 0x7fffn, -0x8000n, 0x7fffffffn, -0x80000000n, 2n ** 63n - 1n, -(2n ** 63n)]

let producers: ReadonlyMap<number, Producer[]> | undefined

/** Makes the vCPU's arithmetic flags lazy, without changing their values. False where no instruction leaves this combination. */
export function makeLazy(vcpu: VcpuState, flags: number, seed: number): boolean {
  producers ??= findProducers()
  const choices = producers.get(flags & ARITHMETIC_FLAGS)
  if (choices === undefined) return false
  const { kind, a, b, override } = choices[seed % choices.length]
  vcpu.setSlotU32(Slot.FLAG_KIND, kind)
  vcpu.setSlotU64(Slot.FLAG_A, BigInt.asUintN(64, a))
  vcpu.setSlotU64(Slot.FLAG_B, BigInt.asUintN(64, b))
  vcpu.setSlotU32(Slot.FLAG_OVERRIDE, override)
  return true
}

function findProducers(): ReadonlyMap<number, Producer[]> {
  const random = new Random(1)
  const found = new Map<number, Producer[]>()
  // Plain differences first, in half of the places: those have conditions of their own.
  for (let n = 0; n < SAMPLES * 4; n++) keep(found, randomProducer(random, FlagKind.SUB, false), KEPT / 2)
  for (const kind of Object.values(FlagKind)) {
    if (kind === FlagKind.EFLAGS) continue
    for (let n = 0; n < SAMPLES; n++) keep(found, randomProducer(random, kind, n % 2 === 0), KEPT)
  }
  return found
}

function keep(found: Map<number, Producer[]>, producer: Producer, limit: number): void {
  const flags = materialiseFlags(producer.kind, producer.a, producer.b, producer.override)
  const known = found.get(flags) ?? []
  if (known.length < limit) found.set(flags, [...known, producer])
}

function randomProducer(random: Random, kind: number, overridden: boolean): Producer {
  const size = random.below(4)
  const bits = 8 << size
  const count = SHIFTS.includes(kind) ? 1 + random.below(bits === 64 ? 63 : 31) : 0
  return {
    kind: kind << 2 | size | count << 8 | (overridden ? FLAG_OVERRIDDEN : 0),
    a: operand(random, bits), b: operand(random, bits), override: overridden ? random.below(16) : 0,
  }
}

function operand(random: Random, bits: number): bigint {
  return BigInt.asIntN(bits, random.oneIn(3) ? random.pick(CORNERS) : random.u64())
}
