import { randomFillSync } from 'node:crypto'
import { formatMac } from '../../network/packet/addresses.ts'

/** A MAC address that nobody else is likely to have, of the range that virtual machines under KVM have. */
export function randomMac(): string {
  const mac = Uint8Array.of(0x52, 0x54, 0, 0, 0, 0)
  randomFillSync(mac, 3)
  return formatMac(mac)
}
