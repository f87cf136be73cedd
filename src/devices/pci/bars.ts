import { TenonError } from '../../base/errors.ts'
import type { AddressWindow } from '../../machine/pci.ts'
import type { RegisterMap, RegisterRow } from '../registers/register-map.ts'

/**
 * Base address registers of a type 0 configuration header. Source: PCI Local Bus Specification 3.0, §6.2.5.1.
 *
 * Sizing works by itself: the address bits below the size are read-only zeros. `window` hears of every move; it is out of the
 * address space while the Command register's decoding bit is clear.
 */
export interface Bar {
  /** Register 0 to 5; a memory64 BAR takes the next one too. */
  readonly index: number
  readonly kind: 'io' | 'memory32' | 'memory64'
  /** A power of two: 4 to 256 for io, from 16 for memory; up to 2^31 (2^40 for memory64). */
  readonly size: number
  readonly prefetchable?: boolean
  readonly window: AddressWindow
}

const IO_SPACE = 1
const MEMORY_SPACE = 2
const MEMORY_64 = 4
const PREFETCHABLE = 8
const WORD = 2 ** 32

export class Bars {
  private readonly bars: readonly Bar[]
  private readonly placed: (number | null)[]

  /** @throws TenonError BAR_INVALID if a BAR's size or place is impossible. */
  constructor(bars: readonly Bar[]) {
    for (const bar of bars) checkBar(bar)
    this.bars = bars
    this.placed = bars.map(() => null)
  }

  rows(): RegisterRow[] { return this.bars.flatMap(barRows) }

  /** Moves the windows to where the registers say. */
  update(registers: RegisterMap, command: number): void {
    this.bars.forEach((bar, index) => {
      const enabled = command & (bar.kind === 'io' ? IO_SPACE : MEMORY_SPACE)
      const address = enabled ? barAddress(bar, registers) : null
      if (address === this.placed[index]) return
      this.placed[index] = address
      bar.window.moveTo(address)
    })
  }
}

function checkBar({ index, kind, size }: Bar): void {
  const [smallest, largest] = kind === 'io' ? [4, 256] : [16, kind === 'memory64' ? 2 ** 40 : 2 ** 31]
  const registers = kind === 'memory64' ? 2 : 1
  if (!Number.isInteger(Math.log2(size)) || size < smallest || size > largest || index < 0 || index + registers > 6) {
    throw new TenonError('BAR_INVALID', `BAR${index}, ${kind} of ${size} bytes is impossible; use a power of two from ${smallest}`)
  }
}

function barRows({ index, kind, size, prefetchable }: Bar): RegisterRow[] {
  const offset = 0x10 + 4 * index
  if (kind === 'io') return [{ name: `BAR${index}`, offset, width: 4, reset: 1, writable: -size >>> 0 & ~3 }]
  const flags = (kind === 'memory64' ? MEMORY_64 : 0) | (prefetchable ? PREFETCHABLE : 0)
  const low: RegisterRow = { name: `BAR${index}`, offset, width: 4, reset: flags, writable: size < WORD ? -size >>> 0 & ~15 : 0 }
  if (kind === 'memory32') return [low]
  const high = size < WORD ? 0xffffffff : -(size / WORD) >>> 0
  return [low, { name: `BAR${index + 1}`, offset: offset + 4, width: 4, writable: high }]
}

function barAddress({ index, kind }: Bar, registers: RegisterMap): number {
  const low = registers.get(`BAR${index}`)
  if (kind === 'io') return (low & ~3) >>> 0
  const high = kind === 'memory64' ? registers.get(`BAR${index + 1}`) : 0
  return high * WORD + ((low & ~15) >>> 0)
}
