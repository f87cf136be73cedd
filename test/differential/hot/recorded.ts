/** The recorded programs, and how a way to run them is tested. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { hotListing } from './listing.ts'
import { compareOutcomes, DEFINED_FLAGS } from './outcome.ts'
import { decodeRecording } from './recording.ts'
import type { RecordedProgram } from './recording.ts'
import type { Way } from './ways.ts'

export const loadRecording = (): RecordedProgram[] => decodeRecording(readFileSync(join(import.meta.dirname, 'data/programs.bin.br')))

/** The first of the programs that a way runs differently from the processor; '' if there is none. */
export function firstDifference(programs: readonly RecordedProgram[], way: Way): string {
  for (const { seed, program, events } of programs) {
    const lines = compareOutcomes(events, way.run(program), DEFINED_FLAGS)
    if (lines.length > 0) return [`seed ${seed}: ${way.name} differs from the processor`, ...lines.slice(0, 12), hotListing(program)].join('\n')
  }
  return ''
}
