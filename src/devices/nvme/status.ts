/**
 * Status of a completed command: status code type in bits 10:8, status code in 7:0, and DO_NOT_RETRY, as in the completion's dword 3
 * from bit 17. Source: NVM Express Base Specification 1.4, §4.6.1.
 */
export const Status = {
  SUCCESS: 0x000,
  INVALID_OPCODE: 0x001,
  INVALID_FIELD: 0x002,
  DATA_TRANSFER_ERROR: 0x004,
  ABORT_REQUESTED: 0x007,
  INVALID_NAMESPACE: 0x00b,
  COMMAND_SEQUENCE_ERROR: 0x00c,
  PRP_OFFSET_INVALID: 0x013,
  NAMESPACE_WRITE_PROTECTED: 0x020,
  LBA_OUT_OF_RANGE: 0x080,
  CAPACITY_EXCEEDED: 0x081,
  COMPLETION_QUEUE_INVALID: 0x100,
  INVALID_QUEUE_IDENTIFIER: 0x101,
  INVALID_QUEUE_SIZE: 0x102,
  ASYNCHRONOUS_EVENT_LIMIT: 0x105,
  INVALID_INTERRUPT_VECTOR: 0x108,
  INVALID_LOG_PAGE: 0x109,
  INVALID_QUEUE_DELETION: 0x10c,
  FEATURE_NOT_SAVEABLE: 0x10d,
  WRITE_FAULT: 0x280,
  UNRECOVERED_READ_ERROR: 0x281,
} as const

export const DO_NOT_RETRY = 0x4000

/** What may go better another time. */
const WORTH_A_RETRY = new Set<number>([
  Status.SUCCESS, Status.ABORT_REQUESTED, Status.CAPACITY_EXCEEDED, Status.WRITE_FAULT, Status.UNRECOVERED_READ_ERROR,
])

/** The status field of a completion. */
export function statusField(status: number): number { return WORTH_A_RETRY.has(status) ? status : status | DO_NOT_RETRY }
