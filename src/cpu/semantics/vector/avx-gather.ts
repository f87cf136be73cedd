/** Gathers (SDM Vol. 2: VPGATHERDD, VGATHERDPS...): each lane is loaded from an address of its own. */
import { define } from '../define.ts'
import type { Ops } from '../ops.ts'

/** Bytes of elements and of indices. */
const GATHERS = [
  ['VPGATHERDD', 4, 4], ['VPGATHERDQ', 8, 4], ['VPGATHERQD', 4, 8], ['VPGATHERQQ', 8, 8],
  ['VGATHERDPS', 4, 4], ['VGATHERDPD', 8, 4], ['VGATHERQPS', 4, 8], ['VGATHERQPD', 8, 8],
] as const

/**
 * A helper does all of it: lane by lane, with what was loaded before a fault kept and its mask cleared, so that the instruction goes on
 * from there. It gets the numbers of destination, mask and index with the scale; sizes, the number of lanes, and of address bits.
 */
function gather(o: Ops, element: number, index: number): void {
  const lanes = o.operandSize(0) / 8 / element
  const registers = o.or(o.or(o.registerNumber(0), o.shl(o.registerNumber(2), o.i32(4))), o.shl(o.vectorIndex(), o.i32(8)))
  const shape = element | index << 4 | lanes << 8 | (o.address64 ? 64 : 32) << 16
  o.helper('gather', [o.let(o.offset(1)), o.memorySegment(), registers, o.i32(shape)])
}

for (const [mnemonic, element, index] of GATHERS) define(mnemonic, 'rw,r,rw', (o) => gather(o, element, index))
