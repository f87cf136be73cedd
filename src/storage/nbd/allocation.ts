import type { BlockNode } from '../block-node.ts'
import { AllocationState } from './protocol.ts'

/** Flags of base:allocation for the first bytes of a range, and for how many they hold: at least 1, at most `length`. */
export async function allocationOf(node: BlockNode, offset: number, length: number): Promise<{ readonly state: number, readonly length: number }> {
  const extent = await node.extent(offset, length)
  const known = Math.max(1, Math.min(extent.length, length))
  if (extent.state === 'data') return { state: 0, length: known }
  if (extent.state === 'zero') return { state: AllocationState.ZERO, length: known }
  const backing: BlockNode | undefined = node.children.backing
  return backing === undefined ? { state: AllocationState.HOLE | AllocationState.ZERO, length: known } : behind(backing, offset, known)
}

/** A hole shows the backing node, and zeros past its end. */
async function behind(backing: BlockNode, offset: number, length: number): Promise<{ readonly state: number, readonly length: number }> {
  if (offset >= backing.size) return { state: AllocationState.HOLE | AllocationState.ZERO, length }
  return allocationOf(backing, offset, Math.min(length, backing.size - offset))
}
