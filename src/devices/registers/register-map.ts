import { unreachable } from '../../base/errors.ts'
import type { PortSize } from '../../machine/io.ts'

/**
 * A device's registers as rows. The map holds their values and dispatches accesses of any offset and size: an access may cover part
 * of a register or several of them; bytes without a register read as 0 and ignore writes.
 */
export interface RegisterRow {
  readonly name: string
  readonly offset: number
  /** Bytes. */
  readonly width: 1 | 2 | 4
  /** Value after reset, 0 if absent. */
  readonly reset?: number
  /** Bits that software may change; none if absent. */
  readonly writable?: number
  /** Bits that software clears by writing 1. */
  readonly writeOneToClear?: number
  /** Bits that the device itself changes; saved and restored like writable ones. */
  readonly dynamic?: number
  /** Gives the value to read from the stored one. */
  readonly read?: (stored: number) => number
  /** Called after a write with the new stored value and with what was written (bytes the access left out as stored). */
  readonly written?: (stored: number, raw: number) => void
}

const lowBytes = (count: number): number => count === 4 ? 0xffffffff : 2 ** (8 * count) - 1

export class RegisterMap<Row extends RegisterRow = RegisterRow> {
  readonly length: number
  private readonly rows: readonly Row[]
  private readonly values: Uint32Array
  /** Row of each byte, -1 for none. */
  private readonly rowAt: Int16Array
  private readonly names: ReadonlyMap<string, number>

  constructor(rows: readonly Row[], length: number) {
    this.length = length
    this.rows = rows
    this.values = new Uint32Array(rows.length)
    this.rowAt = new Int16Array(length).fill(-1)
    rows.forEach((row, index) => this.rowAt.fill(index, row.offset, row.offset + row.width))
    this.names = new Map(rows.map((row, index) => [row.name, index]))
    this.reset()
  }

  reset(): void {
    this.rows.forEach((row, index) => { this.values[index] = row.reset ?? 0 })
  }

  get(name: string): number { return this.values[this.indexOf(name)] }

  /** The device's own change: no mask applies and no handler is called. */
  set(name: string, value: number): void { this.values[this.indexOf(name)] = value }

  read(offset: number, size: PortSize): number {
    let result = 0
    for (let i = 0; i < size;) {
      const index = this.rowIndex(offset + i)
      if (index < 0) { i++; continue }
      const row = this.rows[index]
      const skip = offset + i - row.offset
      const stored = this.values[index]
      result |= (row.read ? row.read(stored) : stored) >>> 8 * skip << 8 * i
      i += row.width - skip
    }
    return (result & lowBytes(size)) >>> 0
  }

  write(offset: number, size: PortSize, value: number): void {
    for (let i = 0; i < size;) {
      const index = this.rowIndex(offset + i)
      if (index < 0) { i++; continue }
      const skip = offset + i - this.rows[index].offset
      const count = Math.min(this.rows[index].width - skip, size - i)
      this.writeRow(index, lowBytes(count) << 8 * skip, value >>> 8 * i << 8 * skip)
      i += count
    }
  }

  /** The stored values of all registers, by name. */
  save(): Record<string, number> {
    return Object.fromEntries(this.rows.map((row, index) => [row.name, this.values[index]]))
  }

  /** Takes over the bits that can differ from reset; `valueOf` gives the saved value of a register. */
  restore(valueOf: (name: string) => number): void {
    this.rows.forEach((row, index) => {
      const changeable = (row.writable ?? 0) | (row.writeOneToClear ?? 0) | (row.dynamic ?? 0)
      if (changeable !== 0) this.values[index] = (row.reset ?? 0) & ~changeable | valueOf(row.name) & changeable
    })
  }

  private writeRow(index: number, touched: number, value: number): void {
    const row = this.rows[index]
    const stored = this.values[index]
    const raw = (stored & ~touched | value & touched) >>> 0
    const writable = (row.writable ?? 0) & touched
    const cleared = (row.writeOneToClear ?? 0) & touched & value
    this.values[index] = (stored & ~writable | value & writable) & ~cleared
    row.written?.(this.values[index], raw)
  }

  private rowIndex(offset: number): number { return offset < this.length ? this.rowAt[offset] : -1 }

  private indexOf(name: string): number {
    const index = this.names.get(name)
    if (index === undefined) unreachable(`no register ${name}`)
    return index
  }
}
