/**
 * The local APIC's registers by number: xAPIC offset divided by 16, x2APIC MSR minus 0x800. Source: SDM Vol. 3A, table 11-1
 * "Local APIC Register Address Map" and table 11-6 "Local APIC Register Address Map Supported by x2APIC".
 */
export const Register = {
  ID: 0x02, VERSION: 0x03, TPR: 0x08, PPR: 0x0a, EOI: 0x0b, LDR: 0x0d, DFR: 0x0e, SVR: 0x0f,
  ISR: 0x10, TMR: 0x18, IRR: 0x20, ESR: 0x28, ICR: 0x30, ICR_HIGH: 0x31,
  LVT_TIMER: 0x32, LVT_THERMAL: 0x33, LVT_PERFORMANCE: 0x34, LVT_LINT0: 0x35, LVT_LINT1: 0x36, LVT_ERROR: 0x37,
  INITIAL_COUNT: 0x38, CURRENT_COUNT: 0x39, DIVIDE: 0x3e, SELF_IPI: 0x3f,
} as const

/** Version 0x15, six LVT entries, EOI broadcast suppression. SDM Vol. 3A §11.4.8. */
export const VERSION = 0x01_05_0015

export const LVT_COUNT = 6

/** Bits of each LVT entry that software may write, from LVT_TIMER to LVT_ERROR. SDM Vol. 3A §11.5.1, figure 11-8. */
export const LVT_WRITABLE = [0x700ff, 0x107ff, 0x107ff, 0x1a7ff, 0x1a7ff, 0x100ff] as const
export const LVT_RESET = 0x10000
export const LVT_MASKED = 0x10000
export const LVT_LEVEL = 0x8000
export const LVT_REMOTE_IRR = 0x4000

/** SVR: vector, software enable, EOI broadcast suppression. §11.9. */
export const SVR_ENABLE = 0x100
export const SVR_SUPPRESS_EOI = 0x1000
export const SVR_WRITABLE = 0x11ff

/** Delivery modes of LVT, ICR, redirection entries and messages. */
export const DeliveryMode = { FIXED: 0, LOWEST_PRIORITY: 1, SMI: 2, NMI: 4, INIT: 5, START_UP: 6, EXT_INT: 7 } as const

/** ICR: destination mode, level, trigger mode, shorthand. §11.6.1. */
export const ICR_WRITABLE = 0xccfff
export const ICR_LOGICAL = 0x800
export const ICR_ASSERT = 0x4000
export const ICR_LEVEL_TRIGGERED = 0x8000
export const Shorthand = { NONE: 0, SELF: 1, ALL: 2, OTHERS: 3 } as const

/** ESR. §11.5.3. */
export const ApicError = { SEND_ILLEGAL_VECTOR: 0x20, RECEIVE_ILLEGAL_VECTOR: 0x40, ILLEGAL_REGISTER: 0x80 } as const

/** IA32_APIC_BASE. §11.4.4, §11.12.1. */
export const ApicBase = { BSP: 0x100, EXTD: 0x400, EN: 0x800 } as const

export const Msr = { IA32_APIC_BASE: 0x1b, IA32_TSC_DEADLINE: 0x6e0, X2APIC_FIRST: 0x800, X2APIC_LAST: 0x8ff } as const
