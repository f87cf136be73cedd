/**
 * Records random programs with what the real processor makes of them, for test/differential/hot/recorded.test.ts.
 *
 *   npx vite-node tools/differential/record.ts [FIRST [COUNT]]
 */
import { writeFileSync } from 'node:fs'
import { hotProgram, randomDraft } from '../../test/differential/hot/generate.ts'
import { encodeRecording } from '../../test/differential/hot/recording.ts'
import type { RecordedProgram } from '../../test/differential/hot/recording.ts'
import { NativeProcessor } from './native.ts'

const FILE = 'test/differential/hot/data/programs.bin.br'
const BATCH = 50

const [first = 1, count = 400] = process.argv.slice(2).map(Number)
const processor = new NativeProcessor()
const recorded: RecordedProgram[] = []
for (let at = 0; at < count; at += BATCH) {
  const drafts = Array.from({ length: Math.min(BATCH, count - at) }, (_, n) => ({ seed: first + at + n, program: hotProgram(randomDraft(first + at + n)) }))
  const programs = drafts.flatMap(({ seed, program }) => program === undefined ? [] : [{ seed, program }])
  const outcomes = processor.run(programs.map(({ program }) => program))
  programs.forEach(({ seed, program }, n) => {
    const events = outcomes[n]
    if (events !== undefined) recorded.push({ seed, program, events })
  })
}
processor.close()
const file = encodeRecording(recorded)
writeFileSync(FILE, file)
console.log(`${recorded.length} programs in ${file.length} bytes: ${FILE}`)
