import { Context, Slot } from '../state/layout.ts'
import type { VcpuState } from '../state/vcpu-state.ts'
import { is64Bit } from '../system/mode.ts'
import { AccessKind, tlbLookup } from './mmu.ts'
import type { Mmu } from './mmu.ts'

/** Instead of a context: an access to an operand of the instruction, as the current context. */
export const OPERAND = 0

/**
 * Memory by linear address for helpers: single values, little-endian. A fault is a value: reads return -1 (-1n), writes false, with
 * the fault recorded in the slot. Stores take effect at once, so a helper probes first what must not be done by halves.
 *
 * Methods access the instruction's operands, at addresses that wrap as they do in its mode, unless told a context:
 * `mmu.supervisorContext` for implicit supervisor accesses (descriptor tables, TSS, and stacks of a more privileged level).
 */
export class LinearMemory {
  private readonly mmu: Mmu
  private readonly state: VcpuState
  /** An address as 64 bits and as two halves. */
  private readonly address = new BigUint64Array(1)
  private readonly halves = new Int32Array(this.address.buffer)
  private readonly contextWord: number

  constructor(mmu: Mmu) {
    this.mmu = mmu
    this.state = mmu.state
    this.contextWord = (mmu.state.slot + Slot.CONTEXT) >>> 2
  }

  /** The context in use. */
  get context(): number { return this.state.u32[this.contextWord] }

  read8(linear: bigint, context = OPERAND): number {
    const at = this.locate(linear, 1, context, AccessKind.READ)
    return at === 0 ? -1 : this.state.u8[at]
  }

  read16(linear: bigint, context = OPERAND): number {
    const at = this.locate(linear, 2, context, AccessKind.READ)
    return at === 0 ? -1 : this.state.view.getUint16(at, true)
  }

  read32(linear: bigint, context = OPERAND): number {
    const at = this.locate(linear, 4, context, AccessKind.READ)
    return at === 0 ? -1 : this.state.view.getUint32(at, true)
  }

  read64(linear: bigint, context = OPERAND): bigint {
    const at = this.locate(linear, 8, context, AccessKind.READ)
    return at === 0 ? -1n : this.state.view.getBigUint64(at, true)
  }

  /** A value of 16, 32 or 64 bits. */
  read(linear: bigint, bits: number, context = OPERAND): bigint {
    if (bits === 64) return this.read64(linear, context)
    return BigInt(bits === 32
      ? this.read32(linear, context) : bits === 16 ? this.read16(linear, context) : this.read8(linear, context))
  }

  write8(linear: bigint, value: number, context = OPERAND): boolean {
    const at = this.locate(linear, 1, context, AccessKind.WRITE)
    if (at !== 0) this.state.u8[at] = value
    return this.commit(at)
  }

  write16(linear: bigint, value: number, context = OPERAND): boolean {
    const at = this.locate(linear, 2, context, AccessKind.WRITE)
    if (at !== 0) this.state.view.setUint16(at, value, true)
    return this.commit(at)
  }

  write32(linear: bigint, value: number, context = OPERAND): boolean {
    const at = this.locate(linear, 4, context, AccessKind.WRITE)
    if (at !== 0) this.state.view.setUint32(at, value, true)
    return this.commit(at)
  }

  write64(linear: bigint, value: bigint, context = OPERAND): boolean {
    const at = this.locate(linear, 8, context, AccessKind.WRITE)
    if (at !== 0) this.state.view.setBigUint64(at, value, true)
    return this.commit(at)
  }

  /** Writes the low 16, 32 or 64 bits of a value. */
  write(linear: bigint, bits: number, value: bigint, context = OPERAND): boolean {
    if (bits === 64) return this.write64(linear, value, context)
    const low = Number(BigInt.asUintN(32, value))
    return bits === 32
      ? this.write32(linear, low, context) : bits === 16 ? this.write16(linear, low, context) : this.write8(linear, low, context)
  }

  /** Copies bytes from memory. Nothing is copied past a fault. */
  readBytes(linear: bigint, into: Uint8Array, context = OPERAND): boolean {
    return this.pieces(linear, into.length, context, AccessKind.READ, (at, done, count) => {
      into.set(this.state.u8.subarray(at, at + count), done)
    })
  }

  /** Copies bytes to memory, all of it checked for writing before the first byte is stored. */
  writeBytes(linear: bigint, from: Uint8Array, context = OPERAND): boolean {
    if (!this.probeWrite(linear, from.length, context)) return false
    return this.pieces(linear, from.length, context, AccessKind.WRITE, (at, done, count) => {
      this.state.u8.set(from.subarray(done, done + count), at)
    })
  }

  /** True if `size` bytes could be written; nothing is stored, and device registers are not touched. */
  probeWrite(linear: bigint, size: number, context = OPERAND): boolean {
    return this.probe(linear, size, context, AccessKind.WRITE)
  }

  probeRead(linear: bigint, size: number, context = OPERAND): boolean {
    return this.probe(linear, size, context, AccessKind.READ)
  }

  private probe(linear: bigint, size: number, context: number, kind: number): boolean {
    for (let done = 0; done < size;) {
      this.setAddress(linear + BigInt(done), context)
      const low = this.halves[0]
      const count = Math.min(size - done, 4096 - (low & 4095))
      if (!this.mmu.permitsAccess(this.contextOf(context), low, this.halves[1], kind)) return false
      done += count
    }
    return true
  }

  private pieces(
    linear: bigint, length: number, context: number, kind: number, copy: (at: number, done: number, count: number) => void,
  ): boolean {
    for (let done = 0; done < length;) {
      const start = linear + BigInt(done)
      const run = Math.min(4096 - Number(start & 4095n), length - done)
      // All of the page where the TLB leads to it; else as much as one slow access takes.
      const hit = this.lookup(start, run, context, kind)
      const count = hit !== 0 ? run : Math.min(64 - Number(start & 63n), run)
      const at = hit !== 0 ? hit : this.locate(start, count, context, kind)
      if (at === 0) return false
      copy(at, done, count)
      this.commit(at)
      done += count
    }
    return true
  }

  /** Pool address of the bytes, or 0 with a fault recorded. */
  private locate(linear: bigint, size: number, context: number, kind: number): number {
    const hit = this.lookup(linear, size, context, kind)
    if (hit !== 0) return hit
    const whose = context === OPERAND ? kind : kind | AccessKind.SYSTEM
    return this.mmu.accessIn(this.contextOf(context), this.halves[0], this.halves[1], size, whose)
  }

  private contextOf(context: number): number { return context === OPERAND ? this.context : context }

  /** Outside 64-bit mode an operand's address has 32 bits. */
  private setAddress(linear: bigint, context: number): void {
    this.address[0] = linear
    if (context === OPERAND && !is64Bit(this.state)) this.halves[1] = 0
  }

  /** Pool address of the bytes if the TLB knows it, else 0. Leaves the address in `halves`. */
  private lookup(linear: bigint, size: number, context: number, kind: number): number {
    this.setAddress(linear, context)
    const table = this.contextOf(context) + (kind === AccessKind.READ ? Context.READ_TLB : Context.WRITE_TLB)
    return tlbLookup(this.state.u32, table, this.halves[0], this.halves[1], size)
  }

  private commit(at: number): boolean {
    if (this.state.slotU32(Slot.SLOW_STORES) !== 0) this.mmu.commitSlowStores()
    return at !== 0
  }
}
