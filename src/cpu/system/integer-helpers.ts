import { recordFault, Vector } from '../mmu/faults.ts'
import { Block } from '../state/layout.ts'
import type { VcpuState } from '../state/vcpu-state.ts'
import { HelperOutcome } from './outcome.ts'

/** Helpers of the integer instructions: arguments at Block.ARGUMENTS, 16 bytes each, the result at Block.RESULT. */
interface HelperContext { readonly state: VcpuState }

const argument = (state: VcpuState, n: number): bigint => state.blockU64(Block.ARGUMENTS + 16 * n)

function finish(state: VcpuState, result: bigint): number {
  state.setBlockU64(Block.RESULT, result)
  return HelperOutcome.OK
}

/** The Castagnoli polynomial 0x11EDC6F41, bits reversed (SDM Vol. 2, CRC32). */
const POLYNOMIAL = 0x82f63b78

const crcOfByte = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) !== 0 ? POLYNOMIAL : 0)
  return crc
})

/** CRC32: the checksum so far, the bytes, and how many bits of them. */
function crc32({ state }: HelperContext): number {
  let crc = state.blockU32(Block.ARGUMENTS)
  const bytes = state.block + Block.ARGUMENTS + 16
  const count = state.blockU32(Block.ARGUMENTS + 32) / 8
  for (let n = 0; n < count; n++) crc = (crc >>> 8) ^ crcOfByte[(crc ^ state.u8[bytes + n]) & 0xff]
  return finish(state, BigInt(crc >>> 0))
}

/** DIV by 64 bits: low and high half of the dividend, the divisor, which is above the high half. */
function divideUnsigned128({ state }: HelperContext): number {
  return finish(state, (argument(state, 1) << 64n | argument(state, 0)) / argument(state, 2))
}

/** IDIV by 64 bits, which is not zero. A quotient that does not fit raises #DE. */
function divideSigned128({ state }: HelperContext): number {
  const dividend = BigInt.asIntN(64, argument(state, 1)) << 64n | argument(state, 0)
  const quotient = dividend / BigInt.asIntN(64, argument(state, 2))
  if (BigInt.asIntN(64, quotient) === quotient) return finish(state, BigInt.asUintN(64, quotient))
  recordFault(state, Vector.DE, 0)
  return HelperOutcome.FAULT
}

/** PDEP: the low bits of the source go to the places of the mask's bits. */
function PDEP({ state }: HelperContext): number {
  let result = 0n
  let source = argument(state, 0)
  for (let mask = argument(state, 1); mask !== 0n; mask &= mask - 1n, source >>= 1n) {
    if ((source & 1n) !== 0n) result |= mask & -mask
  }
  return finish(state, result)
}

/** PEXT: the source's bits at the places of the mask's bits, next to each other. */
function PEXT({ state }: HelperContext): number {
  let result = 0n
  const source = argument(state, 0)
  let bit = 1n
  for (let mask = argument(state, 1); mask !== 0n; mask &= mask - 1n, bit <<= 1n) {
    if ((source & mask & -mask) !== 0n) result |= bit
  }
  return finish(state, result)
}

export const integerHelpers: Readonly<Record<string, (cpu: HelperContext) => number>> = {
  crc32, divideUnsigned128, divideSigned128, PDEP, PEXT,
}
