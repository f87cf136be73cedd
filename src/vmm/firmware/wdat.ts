import {
  WATCHDOG_EXPIRED, WATCHDOG_MAXIMUM_COUNT, WATCHDOG_RUNNING, WATCHDOG_TICK, WatchdogRegister,
} from '../../devices/watchdog/watchdog.ts'
import type { MachineLayout } from '../layout.ts'
import { Access, portRegister, table } from './acpi-tables.ts'
import { ByteWriter } from './byte-writer.ts'

/**
 * Watchdog action table: how the guest uses the watchdog, as accesses to its registers. Source: Microsoft, "Hardware Watchdog Timers
 * Design Specification", version 1.01, "Watchdog Action Table".
 *
 *   36  length from here to the entries (4)   40  PCI segment (2), bus, device, function: none   45  reserved (3)
 *   48  tick in ms (4)   52  maximum count (4)   56  minimum count (4)   60  flags (1)   61  reserved (3)   64  number of entries (4)
 *   68  entries: action (1), instruction (1), reserved (2), register as a generic address (12), value (4), mask (4)
 */
const Action = {
  RESET: 1, QUERY_CURRENT_COUNTDOWN: 4, QUERY_COUNTDOWN: 5, SET_COUNTDOWN: 6, QUERY_RUNNING: 8, SET_RUNNING: 9, QUERY_STOPPED: 10,
  SET_STOPPED: 11, QUERY_STATUS: 32, SET_STATUS: 33,
} as const
const Instruction = { READ_VALUE: 0, READ_COUNTDOWN: 1, WRITE_VALUE: 2, WRITE_COUNTDOWN: 3 } as const

const HEADER_SIZE = 32
const ENABLED = 1
/** In each of the PCI fields; the segment's has 16 bits, and this value all the same. */
const NO_PCI = 0xff
/** A second: what Linux rounds to. */
const MINIMUM_COUNT = 1000 / WATCHDOG_TICK

type Entry = readonly [action: number, instruction: number, register: number, size: 1 | 2, value: number, mask: number]

const { CONTROL, STATUS, COUNTDOWN, COUNT, RELOAD } = WatchdogRegister
const ENTRIES: readonly Entry[] = [
  [Action.RESET, Instruction.WRITE_VALUE, RELOAD, 1, 1, 1],
  [Action.QUERY_CURRENT_COUNTDOWN, Instruction.READ_COUNTDOWN, COUNT, 2, 0, WATCHDOG_MAXIMUM_COUNT],
  [Action.QUERY_COUNTDOWN, Instruction.READ_COUNTDOWN, COUNTDOWN, 2, 0, WATCHDOG_MAXIMUM_COUNT],
  [Action.SET_COUNTDOWN, Instruction.WRITE_COUNTDOWN, COUNTDOWN, 2, 0, WATCHDOG_MAXIMUM_COUNT],
  [Action.QUERY_RUNNING, Instruction.READ_VALUE, CONTROL, 1, WATCHDOG_RUNNING, WATCHDOG_RUNNING],
  [Action.SET_RUNNING, Instruction.WRITE_VALUE, CONTROL, 1, WATCHDOG_RUNNING, WATCHDOG_RUNNING],
  [Action.QUERY_STOPPED, Instruction.READ_VALUE, CONTROL, 1, 0, WATCHDOG_RUNNING],
  [Action.SET_STOPPED, Instruction.WRITE_VALUE, CONTROL, 1, 0, WATCHDOG_RUNNING],
  [Action.QUERY_STATUS, Instruction.READ_VALUE, STATUS, 1, WATCHDOG_EXPIRED, WATCHDOG_EXPIRED],
  [Action.SET_STATUS, Instruction.WRITE_VALUE, STATUS, 1, WATCHDOG_EXPIRED, WATCHDOG_EXPIRED],
]

export function wdat({ watchdog }: MachineLayout): Uint8Array {
  const body = new ByteWriter().u32(HEADER_SIZE).u16(NO_PCI).u8(NO_PCI).u8(NO_PCI).u8(NO_PCI).zeros(3)
  body.u32(WATCHDOG_TICK).u32(WATCHDOG_MAXIMUM_COUNT).u32(MINIMUM_COUNT).u8(ENABLED).zeros(3).u32(ENTRIES.length)
  for (const [action, instruction, register, size, value, mask] of ENTRIES) {
    body.u8(action).u8(instruction).u16(0)
    portRegister(body, { base: watchdog.base + register, size }, size === 1 ? Access.BYTE : Access.WORD).u32(value).u32(mask)
  }
  return table('WDAT', 1, body.toBytes())
}
