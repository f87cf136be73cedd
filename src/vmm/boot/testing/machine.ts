import { gpa } from '../../../base/addresses.ts'
import { FrameMap } from '../../../machine/frame-map.ts'
import { MappedMemory } from '../../../machine/mapped-memory.ts'
import { Pool } from '../../../machine/pool.ts'
import { layoutMachine } from '../../layout.ts'
import type { MachineLayout } from '../../layout.ts'

export const MIB = 1024 ** 2

/** A machine's layout and empty memory, for tests of what is written there. The host commits only what is touched. */
export function emptyMachine(memorySize: number, vcpus = 1): { layout: MachineLayout, memory: MappedMemory } {
  const layout = layoutMachine({ memory: memorySize, vcpus })
  const pool = Pool.create(memorySize + 16 * MIB)
  const frames = FrameMap.create(pool, { lowPages: layout.ram.lowSize / 4096, highPages: layout.ram.highSize / 4096 })
  return { layout, memory: new MappedMemory(frames) }
}

export function readBytes(memory: MappedMemory, address: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  memory.read(gpa(address), bytes)
  return bytes
}
