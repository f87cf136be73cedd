import type { BlockStatus } from '../../../machine/block.ts'

/**
 * Sense data: why a command failed. Source: SCSI Primary Commands 4 (SPC-4), §4.5 "Sense data"; fixed format, §4.5.3.
 */
export interface Sense {
  readonly key: number
  /** Additional sense code and its qualifier, as 0xccqq. */
  readonly code: number
}

const Key = { NO_SENSE: 0, MEDIUM_ERROR: 3, HARDWARE_ERROR: 4, ILLEGAL_REQUEST: 5, DATA_PROTECT: 7 } as const

export const Senses = {
  NONE: { key: Key.NO_SENSE, code: 0 },
  INVALID_OPERATION_CODE: { key: Key.ILLEGAL_REQUEST, code: 0x2000 },
  LBA_OUT_OF_RANGE: { key: Key.ILLEGAL_REQUEST, code: 0x2100 },
  INVALID_FIELD_IN_CDB: { key: Key.ILLEGAL_REQUEST, code: 0x2400 },
  LOGICAL_UNIT_NOT_SUPPORTED: { key: Key.ILLEGAL_REQUEST, code: 0x2500 },
  PARAMETER_LIST_LENGTH_ERROR: { key: Key.ILLEGAL_REQUEST, code: 0x1a00 },
  INVALID_FIELD_IN_PARAMETER_LIST: { key: Key.ILLEGAL_REQUEST, code: 0x2600 },
  WRITE_PROTECTED: { key: Key.DATA_PROTECT, code: 0x2700 },
  SPACE_ALLOCATION_FAILED: { key: Key.DATA_PROTECT, code: 0x2707 },
  UNRECOVERED_READ_ERROR: { key: Key.MEDIUM_ERROR, code: 0x1100 },
  WRITE_ERROR: { key: Key.MEDIUM_ERROR, code: 0x0c00 },
} as const

export const SENSE_LENGTH = 18

/** Fixed format, a current error. */
export function senseData({ key, code }: Sense): Uint8Array {
  const bytes = new Uint8Array(SENSE_LENGTH)
  bytes[0] = 0x70
  bytes[2] = key
  bytes[7] = SENSE_LENGTH - 8
  bytes[12] = code >> 8
  bytes[13] = code & 0xff
  return bytes
}

/** What a back end's failure means to an initiator. */
export function senseOf(status: BlockStatus, reads: boolean): Sense {
  switch (status) {
    case 'ok': return Senses.NONE
    case 'no-space': return Senses.SPACE_ALLOCATION_FAILED
    case 'unsupported': return Senses.INVALID_OPERATION_CODE
    case 'io-error': return reads ? Senses.UNRECOVERED_READ_ERROR : Senses.WRITE_ERROR
  }
}
