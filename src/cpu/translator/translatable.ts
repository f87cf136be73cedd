/** Which instructions can be translated: found out by trying, once for each form. */
import { Instruction } from '../decode/instruction.ts'
import type { RecordWriter } from '../interpreter/record-writer.ts'
import { FunctionBody } from '../wasm/assembler.ts'
import { ExitList } from './exit-list.ts'
import { NotTranslatable } from './operations-base.ts'
import { PARAMETERS } from './parameters.ts'
import { RegionOps } from './operations.ts'
import { place } from './region-code.ts'

const Answer = { UNKNOWN: 0, YES: 1, NO: 2 } as const

export class Translatable {
  private readonly writer: RecordWriter
  private readonly answers: Uint8Array

  constructor(writer: RecordWriter) {
    this.writer = writer
    this.answers = new Uint8Array(writer.formCount)
  }

  has(instruction: Instruction): boolean {
    const form = this.writer.formOf(instruction)
    if (this.answers[form] === Answer.UNKNOWN) this.answers[form] = tryOut(instruction) ? Answer.YES : Answer.NO
    return this.answers[form] === Answer.YES
  }
}

function tryOut(instruction: Instruction): boolean {
  const f = new FunctionBody(0, PARAMETERS)
  f.depth = 1
  try {
    new RegionOps(f, new ExitList(), 'early', 0).emitInstruction(place(Object.assign(new Instruction(), instruction), 0), 1)
    return true
  } catch (error) {
    if (error instanceof NotTranslatable) return false
    throw error
  }
}
