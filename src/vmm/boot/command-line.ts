import { gpa } from '../../base/addresses.ts'
import type { GuestMemory } from '../../machine/memory.ts'
import { BootArea } from './boot-area.ts'
import { bootError } from './errors.ts'

/** What Linux reads on x86 without saying otherwise: COMMAND_LINE_SIZE less the closing NUL. */
export const LINUX_COMMAND_LINE_LIMIT = 2047
const AREA_LIMIT = BootArea.STACK_TOP - BootArea.COMMAND_LINE - 0x10000

/** Writes the command line with its closing NUL. `limit` is the most bytes that the kernel reads, NUL not counted. */
export function writeCommandLine(memory: GuestMemory, commandLine: string, limit: number): void {
  const bytes = Uint8Array.from(encodeUtf8(commandLine))
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

/** UTF-8 (RFC 3629 §3); half a surrogate pair becomes U+FFFD. */
function encodeUtf8(text: string): number[] {
  return Array.from(text, character => character.codePointAt(0)!).flatMap(encodeCodePoint)
}

function encodeCodePoint(code: number): number[] {
  const continuation = (shift: number) => 0x80 | code >> shift & 0x3f
  if (code < 0x80) return [code]
  if (code < 0x800) return [0xc0 | code >> 6, continuation(0)]
  if (code >= 0xd800 && code < 0xe000) return [0xef, 0xbf, 0xbd]
  if (code < 0x10000) return [0xe0 | code >> 12, continuation(6), continuation(0)]
  return [0xf0 | code >> 18, continuation(12), continuation(6), continuation(0)]
}
