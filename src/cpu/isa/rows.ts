/** The opcode table: every encoding that the processor knows. A row's index here is `Instruction.row`. */
import { oneByteRows } from './one-byte.ts'
import { packedIntegerRows } from './packed-integer.ts'
import { avxFloatRows } from './avx-float.ts'
import { avxIntegerRows } from './avx-integer.ts'
import { bitManipulationRows } from './bit-manipulation.ts'
import type { Row } from './row.ts'
import { sseRows } from './sse.ts'
import { systemRows } from './system.ts'
import { threeByteRows } from './three-byte.ts'
import { twoByteRows } from './two-byte.ts'
import { x87Rows } from './x87.ts'

export const rows: readonly Row[] = [
  ...oneByteRows, ...twoByteRows, ...systemRows, ...x87Rows, ...packedIntegerRows, ...sseRows, ...threeByteRows,
  ...avxFloatRows, ...avxIntegerRows, ...bitManipulationRows,
]

/** The distinct operand lists of each mnemonic (`ADD` has `Eb,Gb`, `Ev,Gv`, ...): what its semantics function has to deal with. */
export function mnemonics(): ReadonlyMap<string, readonly string[]> {
  const operands = new Map<string, Set<string>>()
  for (const row of rows) {
    const lists = operands.get(row.mnemonic) ?? new Set()
    operands.set(row.mnemonic, lists.add(row.operands.join(',')))
  }
  return new Map([...operands].map(([mnemonic, lists]) => [mnemonic, [...lists]]))
}

/** Every feature that some row asks for: the most that a decoder can be given. */
export function features(): ReadonlySet<string> {
  return new Set(rows.flatMap((row) => row.attributes.feature ?? []))
}
