import { gpa } from '../../base/addresses.ts'
import { encodeUtf8 } from '../../base/utf8.ts'
import type { GuestMemory } from '../../machine/memory.ts'
import { BootArea } from './boot-area.ts'
import { bootError } from './errors.ts'

/** What Linux reads on x86 without saying otherwise: COMMAND_LINE_SIZE less the closing NUL. */
export const LINUX_COMMAND_LINE_LIMIT = 2047
const AREA_LIMIT = BootArea.STACK_TOP - BootArea.COMMAND_LINE - 0x10000

/** Writes the command line with its closing NUL. `limit` is the most bytes that the kernel reads, NUL not counted. */
export function writeCommandLine(memory: GuestMemory, commandLine: string, limit: number): void {
  const bytes = encodeUtf8(commandLine)
  const allowed = Math.min(limit, AREA_LIMIT)
  if (bytes.length > allowed) {
    throw bootError('COMMAND_LINE_TOO_LONG',
      `the kernel command line has ${bytes.length} bytes and this kernel reads ${allowed}: shorten it`)
  }
  if (bytes.includes(0)) {
    throw bootError('COMMAND_LINE_INVALID',
      'the kernel command line has a NUL character in it, where the kernel would cut it: remove it')
  }
  memory.write(gpa(BootArea.COMMAND_LINE), bytes)
  memory.writeU8(gpa(BootArea.COMMAND_LINE + bytes.length), 0)
}
