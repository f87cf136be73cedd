/**
 * Command descriptor blocks. Source: SCSI Block Commands 3 (SBC-3), chapter 5, and SPC-4, chapter 6. Numbers are big-endian.
 */
export const Command = {
  TEST_UNIT_READY: 0x00, REQUEST_SENSE: 0x03, READ_6: 0x08, WRITE_6: 0x0a, INQUIRY: 0x12, MODE_SENSE_6: 0x1a, START_STOP_UNIT: 0x1b,
  READ_CAPACITY_10: 0x25, READ_10: 0x28, WRITE_10: 0x2a, SYNCHRONIZE_CACHE_10: 0x35, WRITE_SAME_10: 0x41, UNMAP: 0x42,
  MODE_SENSE_10: 0x5a, READ_16: 0x88, WRITE_16: 0x8a, SYNCHRONIZE_CACHE_16: 0x91, WRITE_SAME_16: 0x93, SERVICE_ACTION_IN_16: 0x9e,
  REPORT_LUNS: 0xa0, READ_12: 0xa8, WRITE_12: 0xaa,
} as const

export class CommandBlock {
  private readonly bytes: Uint8Array
  private readonly view: DataView

  /** At least 16 bytes, zeros behind the command's own. */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset)
  }

  get operationCode(): number { return this.bytes[0] }

  u8(offset: number): number { return this.bytes[offset] }
  u16(offset: number): number { return this.view.getUint16(offset) }
  u32(offset: number): number { return this.view.getUint32(offset) }
  /** Exact up to 2^53, and still too large above. */
  u64(offset: number): number { return this.u32(offset) * 2 ** 32 + this.u32(offset + 4) }

  /** Logical block address and number of blocks, where the command's group (§4.2.5.1 of SPC-4) has them. */
  blocks(): { readonly block: number, readonly count: number } {
    switch (this.operationCode >> 5) {
      case 0: return { block: this.u32(0) & 0x1fffff, count: this.u8(4) || 256 }
      case 1: case 2: return { block: this.u32(2), count: this.u16(7) }
      case 5: return { block: this.u32(2), count: this.u32(6) }
      default: return { block: this.u64(2), count: this.u32(10) }
    }
  }
}
