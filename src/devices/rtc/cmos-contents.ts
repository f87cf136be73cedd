/**
 * What PC firmware keeps in CMOS about memory. Source: R. Brown's "CMOS Memory Map" (the PC/AT's registers), and for 0x34, 0x35 and
 * 0x5b to 0x5d the convention that virtual machines' firmware reads.
 *
 *   0x14  equipment                     0x15, 0x16  base memory, KiB        0x17, 0x18 and 0x30, 0x31  memory above 1 MiB, KiB
 *   0x34, 0x35  above 16 MiB, 64 KiB    0x5b to 0x5d  above 4 GiB, 64 KiB
 *
 * `lowSize` and `highSize` are bytes of RAM below and from 4 GiB.
 */
export function cmosContents(lowSize: number, highSize: number): Uint8Array {
  const cmos = new Uint8Array(128)
  const little = (at: number, count: number, value: number): void => {
    for (let i = 0; i < count; i++) cmos[at + i] = Math.floor(value / 256 ** i)
  }
  const extended = Math.min(Math.max(0, lowSize - MIB) / 1024, 63 * 1024)
  cmos[0x14] = EQUIPMENT_MATH_COPROCESSOR
  little(0x15, 2, Math.min(lowSize / 1024, 640))
  little(0x17, 2, extended)
  little(0x30, 2, extended)
  little(0x34, 2, Math.min(Math.max(0, lowSize - 16 * MIB) / 65536, 0xffff))
  little(0x5b, 3, highSize / 65536)
  return cmos
}

const MIB = 2 ** 20
const EQUIPMENT_MATH_COPROCESSOR = 0x02
