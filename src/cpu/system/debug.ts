import type { DataBreakpoints, Mmu } from '../mmu/mmu.ts'
import { Block } from '../state/layout.ts'
import type { VcpuState } from '../state/vcpu-state.ts'
import { PendingEvent, signal } from './events.ts'
import { Cr4 } from './mode.ts'

/**
 * Debug registers (SDM Vol. 3B §18.2). Breakpoint conditions are noted here; #DB is raised between instructions, see service.ts.
 */

/** Bits of DR6. Bits 0 to 3 name the breakpoints that matched. */
export const Dr6 = { MATCHES: 0xf, BD: 0x2000, BS: 0x4000, BT: 0x8000, FIXED: 0xffff0ff0 } as const
export const Dr7 = { FIXED: 0x400, GD: 0x2000, ENABLES: 0xff } as const
/** R/W fields of DR7. */
const Condition = { EXECUTE: 0, WRITE: 1, IO: 2, READ_WRITE: 3 } as const
const LENGTHS = [1, 2, 8, 4] as const

export class DebugUnit implements DataBreakpoints {
  private readonly state: VcpuState
  private readonly mmu: Mmu

  constructor(state: VcpuState, mmu: Mmu) {
    this.state = state
    this.mmu = mmu
  }

  get dr7(): number { return this.state.blockU32(Block.DR + 56) }

  /** Follows a write of DR0 to DR3 or DR7, or a restored state. */
  changed(): void {
    const data = this.enabled(Condition.WRITE) || this.enabled(Condition.READ_WRITE)
    const watched = this.mmu.breakpoints !== null
    this.mmu.breakpoints = data ? this : null
    if (data || watched) this.mmu.tlb.flushAll()
    if ((this.dr7 & Dr7.ENABLES) !== 0) signal(this.state, PendingEvent.DEBUG)
  }

  /** True if instructions may trap for a breakpoint, so that they must be run one at a time. */
  get armed(): boolean { return (this.dr7 & Dr7.ENABLES) !== 0 }

  check(low: number, high: number, size: number, write: boolean): void {
    const linear = toLinear(low, high)
    this.note((n) => this.matchesData(n, write) && this.overlaps(n, linear, size))
  }

  coversPage(low: number, high: number): boolean {
    const page = toLinear(low & ~0xfff, high)
    for (let n = 0; n < 4; n++) if (this.matchesData(n, true) && this.overlaps(n, page, 4096)) return true
    return false
  }

  /** Notes I/O breakpoints on a port access; they exist while CR4.DE is set. */
  checkPort(port: number, size: number): void {
    if (!this.armed || (this.state.cr4 & Cr4.DE) === 0) return
    this.note((n) => this.isEnabled(n, Condition.IO) && this.overlaps(n, BigInt(port), size))
  }

  /** DR6 bits of the instruction breakpoints at a linear address. */
  instructionMatches(linear: bigint): number {
    let matches = 0
    for (let n = 0; n < 4; n++) {
      if (this.isEnabled(n, Condition.EXECUTE) && this.state.blockU64(Block.DR + n * 8) === linear) matches |= 1 << n
    }
    return matches
  }

  /** DR6 bits noted since they were last taken. */
  takePending(): number {
    const pending = this.state.blockU32(Block.PENDING_DEBUG)
    this.state.setBlockU32(Block.PENDING_DEBUG, 0)
    return pending
  }

  /** Notes conditions for the trap after this instruction. */
  pend(bits: number): void {
    this.state.setBlockU32(Block.PENDING_DEBUG, this.state.blockU32(Block.PENDING_DEBUG) | bits)
    signal(this.state, PendingEvent.DEBUG)
  }

  /** Records in DR6 why #DB is about to be raised, and disables general detection for its handler. */
  report(bits: number): void {
    const dr6 = this.state.blockU32(Block.DR + 48)
    this.state.setBlockU32(Block.DR + 48, ((dr6 & ~Dr6.MATCHES) | bits | Dr6.FIXED) >>> 0)
    this.state.setBlockU32(Block.DR + 56, this.dr7 & ~Dr7.GD)
  }

  private note(matches: (n: number) => boolean): void {
    let bits = 0
    for (let n = 0; n < 4; n++) if (matches(n)) bits |= 1 << n
    if (bits !== 0) this.pend(bits)
  }

  private enabled(condition: number): boolean {
    return [0, 1, 2, 3].some((n) => this.isEnabled(n, condition))
  }

  private isEnabled(n: number, condition: number): boolean {
    return ((this.dr7 >>> (n * 2)) & 3) !== 0 && ((this.dr7 >>> (16 + n * 4)) & 3) === condition
  }

  private matchesData(n: number, write: boolean): boolean {
    return this.isEnabled(n, Condition.READ_WRITE) || (write && this.isEnabled(n, Condition.WRITE))
  }

  private overlaps(n: number, start: bigint, size: number): boolean {
    const length = BigInt(LENGTHS[(this.dr7 >>> (18 + n * 4)) & 3])
    const first = this.state.blockU64(Block.DR + n * 8) & ~(length - 1n)
    return first < start + BigInt(size) && start < first + length
  }
}

function toLinear(low: number, high: number): bigint {
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)
}
