import { BROADCAST } from './apic-bus.ts'
import { DeliveryMode, ICR_ASSERT, ICR_LEVEL_TRIGGERED, ICR_LOGICAL, Shorthand } from './registers.ts'

/** An inter-processor interrupt, decoded from ICR. Source: SDM Vol. 3A §11.6.1 and table 11-3. */
export interface Ipi {
  readonly mode: number
  readonly vector: number
  /** Fixed or lowest priority. */
  readonly fixed: boolean
  readonly logical: boolean
  readonly destination: number
  readonly toDestination: boolean
  readonly toSelf: boolean
  readonly toOthers: boolean
}

/** Null for what has no effect: INIT level de-assert. Shorthands with the sender are valid for fixed interrupts only. */
export function decodeIcr(icr: number, high: number, x2apic: boolean): Ipi | null {
  const mode = icr >> 8 & 7
  if (mode === DeliveryMode.INIT && icr & ICR_LEVEL_TRIGGERED && (icr & ICR_ASSERT) === 0) return null
  const fixed = mode === DeliveryMode.FIXED || mode === DeliveryMode.LOWEST_PRIORITY
  const shorthand = icr >> 18 & 3
  const narrow = high >>> 24
  return {
    mode, vector: icr & 0xff, fixed, logical: (icr & ICR_LOGICAL) !== 0,
    destination: x2apic ? high : narrow === 0xff ? BROADCAST : narrow,
    toDestination: shorthand === Shorthand.NONE,
    toSelf: fixed && (shorthand === Shorthand.SELF || shorthand === Shorthand.ALL),
    toOthers: shorthand === Shorthand.OTHERS || fixed && shorthand === Shorthand.ALL,
  }
}
