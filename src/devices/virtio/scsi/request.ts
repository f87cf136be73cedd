import type { DescriptorChain } from '../descriptor-chain.ts'

/**
 * Requests of a SCSI host device. Source: VIRTIO 1.2, §5.6.6.
 *
 *   command, readable   0 lun (8)   8 id (8)   16 task_attr (1)   17 prio (1)   18 crn (1)   19 cdb (cdb_size)   then data out
 *   command, writable   0 sense_len   4 residual   8 status_qualifier (2)   10 status (1)   11 response (1)   12 sense (sense_size)
 *                       then data in
 *   task management     0 type (0)   4 subtype   8 lun (8)   16 id (8)                    writable: 0 response (1)
 *   notification        0 type (1 query, 2 subscribe)   4 lun (8)   12 event_requested    writable: 0 event_actual   4 response (1)
 */
export const COMMAND_HEADER = 19
export const RESPONSE_HEADER = 12
export const TASK_MANAGEMENT_SIZE = 24

export const Response = {
  OK: 0, OVERRUN: 1, BAD_TARGET: 3, FUNCTION_SUCCEEDED: 10, FUNCTION_REJECTED: 11, INCORRECT_LUN: 12,
} as const

export const ScsiStatus = { GOOD: 0, CHECK_CONDITION: 2 } as const

export const ControlType = { TASK_MANAGEMENT: 0, QUERY: 1, SUBSCRIBE: 2 } as const

export const TaskManagement = {
  ABORT_TASK: 0, ABORT_TASK_SET: 1, CLEAR_ACA: 2, CLEAR_TASK_SET: 3, NEXUS_RESET: 4, LOGICAL_UNIT_RESET: 5, QUERY_TASK: 6,
  QUERY_TASK_SET: 7,
} as const

/** Where a request goes. `unit` is -1 if the address names no logical unit that this device could have. */
export interface UnitAddress { readonly target: number, readonly unit: number }

/** §5.6.6.1: 1, the target, then a single-level logical unit number by peripheral or flat addressing. */
export function readAddress(chain: DescriptorChain, offset: number): UnitAddress {
  const bytes = new Uint8Array(8)
  chain.read(offset, bytes)
  const [first, target, high, low] = bytes
  const known = first === 1 && (high === 0 || high >> 6 === 1) && bytes.subarray(4).every((byte) => byte === 0)
  return { target: first === 1 ? target : -1, unit: known ? (high & 0x3f) << 8 | low : -1 }
}
