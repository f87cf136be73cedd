import type { GuestMemory } from '../../../machine/memory.ts'
import { RecordedLine } from '../../testing/recorded-line.ts'
import type { VirtioDevice } from '../device.ts'
import { VirtioPciFunction } from '../pci-function.ts'

export interface AttachedFunction {
  readonly device: VirtioPciFunction
  readonly line: RecordedLine
  /** Messages sent: address and data. */
  readonly messages: (readonly [number, number])[]
}

/** A device as a PCI function by itself. */
export function attach(device: VirtioDevice, memory: GuestMemory, line: RecordedLine = new RecordedLine()): AttachedFunction {
  const messages: (readonly [number, number])[] = []
  const pciFunction = new VirtioPciFunction(device, {
    memory, line, window: () => ({ moveTo: () => undefined }),
    messages: { sendMessage: (address, data) => { messages.push([address, data]) } },
  })
  return { device: pciFunction, line, messages }
}
