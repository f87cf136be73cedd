import { expect } from 'vitest'
import { SnapshotReader, encodeSnapshot } from '../snapshot/file.ts'
import type { MachineSnapshot } from '../snapshot/snapshot.ts'

/** As toEqual, which takes long for megabytes. */
export function expectSame(actual: MachineSnapshot, expected: MachineSnapshot): void {
  expect(actual.parts).toEqual(expected.parts)
  const places = ({ memory }: MachineSnapshot): number[][] => memory.map(({ page, bytes }) => [page, bytes.length])
  expect(places(actual)).toEqual(places(expected))
  actual.memory.forEach(({ page, bytes }, index) => {
    expect(Buffer.compare(bytes, expected.memory[index].bytes), `memory from page ${page}`).toBe(0)
  })
}

/** A snapshot as it comes out of its file. */
export function throughFile(snapshot: MachineSnapshot): MachineSnapshot {
  const reader = new SnapshotReader()
  for (const piece of encodeSnapshot(snapshot)) reader.push(piece)
  return reader.finish()
}
