/** A hot program as text, an instruction a line. */
import { Decoder } from '../../../src/cpu/decode/decoder.ts'
import { formatInstruction } from '../../../src/cpu/decode/format.ts'
import { Instruction } from '../../../src/cpu/decode/instruction.ts'
import { features } from '../../../src/cpu/isa/rows.ts'
import { CODE } from '../../vectors/environment.ts'
import { wordName } from '../../vectors/state.ts'
import type { HotProgram } from './assemble.ts'

const decoder = new Decoder(features())
const instruction = new Instruction()

export function hotListing({ code, offset, lengths, handler, state }: HotProgram): string {
  const registers = Array.from({ length: 18 }, (_, n) => `${wordName(n)} ${state[n].toString(16)}`).join('  ')
  const lines = [registers, `handler at ${(CODE + handler).toString(16)}`]
  for (let at = 0; at < code.length;) {
    const length = lengths[offset + at]
    const bytes = Array.from(code.subarray(at, at + Math.max(length, 1)), (byte) => byte.toString(16).padStart(2, '0')).join(' ')
    lines.push(`${(CODE + offset + at).toString(16)}  ${bytes}  ${length > 0 ? text(code, at, offset) : ''}`.trimEnd())
    at += Math.max(length, 1)
  }
  return lines.join('\n')
}

function text(code: Uint8Array, at: number, offset: number): string {
  decoder.decode(code, at, code.length, 64, instruction)
  return formatInstruction(instruction, BigInt(CODE + offset + at))
}
