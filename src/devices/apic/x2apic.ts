import { ICR_WRITABLE, LVT_COUNT, LVT_REMOTE_IRR, LVT_WRITABLE, Register, SVR_WRITABLE } from './registers.ts'

/**
 * Which x2APIC MSRs exist, and the bits that may be written to them: anything else raises #GP. Source: SDM Vol. 3A §11.12.1.2
 * "x2APIC Register Address Space" and §11.12.1.3 "Reserved Bit Checking".
 */
const READABLE = new Set<number>([
  Register.ID, Register.VERSION, Register.TPR, Register.PPR, Register.LDR, Register.SVR, Register.ESR, Register.ICR,
  Register.INITIAL_COUNT, Register.CURRENT_COUNT, Register.DIVIDE,
])
for (let i = 0; i < 8; i++) READABLE.add(Register.ISR + i).add(Register.TMR + i).add(Register.IRR + i)
for (let i = 0; i < LVT_COUNT; i++) READABLE.add(Register.LVT_TIMER + i)

/** Read-only bits of an LVT entry (delivery status, remote IRR) may be written back. */
const LVT_READ_ONLY = 0x1000 | LVT_REMOTE_IRR
/** Disables focus checking, which no processor has had since the Pentium 4; accepted and ignored. */
const SVR_FOCUS = 0x200

const WRITABLE = new Map<number, number>([
  [Register.TPR, 0xff], [Register.EOI, 0], [Register.SVR, SVR_WRITABLE | SVR_FOCUS], [Register.ESR, 0],
  [Register.ICR, ICR_WRITABLE], [Register.INITIAL_COUNT, 0xffffffff], [Register.DIVIDE, 0x0b], [Register.SELF_IPI, 0xff],
])
LVT_WRITABLE.forEach((mask, index) => WRITABLE.set(Register.LVT_TIMER + index, mask | LVT_READ_ONLY))

export function isReadable(register: number): boolean { return READABLE.has(register) }

/** True if `value` may be written; only ICR has a high half. */
export function isWritable(register: number, value: bigint): boolean {
  const mask = WRITABLE.get(register)
  if (mask === undefined) return false
  const high = value >> 32n
  if (high !== 0n && register !== Register.ICR) return false
  return (Number(value & 0xffffffffn) & ~mask) === 0
}

/** §11.12.10.2: the logical ID follows from the APIC ID: cluster in bits 31:16, one bit of 15:0. */
export function logicalId(id: number): number { return (id >>> 4 << 16 | 1 << (id & 15)) >>> 0 }
